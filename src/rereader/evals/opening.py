"""Opens a real session for the harness. Loads the whole application, so it is imported only when a suite is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rereader.config import load_config
from rereader.graphs.registry import get_graph
from rereader.models.roles import RoleNames, default_names
from rereader.runs.session import Session, open_session
from rereader.schema import Answer, Budget, Document, Event, InputError, Usage
from rereader.schema.events import Listener

ROLES = ("reader", "gister", "scorer", "embedder")


class MeasuredSession:
    """A session as the harness sees it.

    Args:
        session: The open session.
        reader: Whether a reader is going to be called; otherwise it is not loaded to be described.
        told: Told how far the reading in of a text has come.
    """

    def __init__(self, session: Session, reader: bool, told: Listener | None = None) -> None:
        self._session = session
        self._told = told
        self._roles = ROLES if reader else ROLES[1:]

    def add_text(
        self, text: str, *, title: str, source: str, graph: str, settings: Mapping[str, Any]
    ) -> tuple[Document, Usage]:
        """Store a text and make the memories that the graph needs."""
        document = self._session.library.documents.add(text, title=title, source=source, loader="text/1")
        return document, self._session.prepare(document, graph=graph, settings=settings, listen=self._listen)

    def ask(
        self, question: str, document_ids: Sequence[str], *, graph: str, settings: Mapping[str, Any], budget: Budget
    ) -> Answer:
        """Answer a question."""
        return self._session.ask(question, document_ids, graph=graph, settings=settings, budget=budget)

    def _listen(self, event: Event) -> None:
        if self._told is not None and event.progress is not None:
            self._told(event.progress)

    def fingerprints(self) -> dict[str, str]:
        """Name and fingerprint of each role's model; roles without one are left out."""
        models = {role: getattr(self._session.models, role) for role in self._roles}
        return {role: f"{model.name} {model.fingerprint[:16]}" for role, model in models.items() if model is not None}

    def all_settings(self, graph: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a graph with its defaults; those that it refuses as they are, since no question is asked."""
        try:
            return asdict(get_graph(graph).settings(settings))
        except InputError:
            return dict(settings)


@contextmanager
def open_measured(
    workspace: Path, *, model: str | None, models_dir: Path | None, reader: bool, told: Listener | None = None
) -> Iterator[MeasuredSession]:
    """Open a workspace; ``model`` replaces the default reader; ``told`` hears of texts that are read in."""
    names = None if model is None else _with_reader(model, models_dir)
    with open_session(workspace, names=names, models_dir=models_dir) as session:
        yield MeasuredSession(session, reader, told)


def _with_reader(model: str, models_dir: Path | None) -> RoleNames:
    names, _ = default_names(load_config(models_dir=models_dir).models_dir)
    return replace(names, reader=model)
