"""The one-call interface: ``from rereader import ask``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rereader.config import load_config
from rereader.graphs.registry import get_graph
from rereader.models.roles import RoleNames
from rereader.runs.documents import read_sources, store_texts
from rereader.runs.session import Listen, Session, ignore, open_session
from rereader.schema import Answer, Budget
from rereader.tools.loaders import LoadedText


def ask(
    question: str,
    sources: Sequence[str | Path] = (),
    *,
    graph: str | None = None,
    workspace: Path | None = None,
    models: RoleNames | None = None,
    settings: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    password: str | None = None,
    listen: Listen = ignore,
) -> Answer:
    """Answer a question about files (or, without any, about every document of the workspace).

    Example:
        >>> from rereader import ask
        >>> ask("Who keeps the bees?", ["novel.txt"]).answer  # doctest: +SKIP

    Raises:
        RereaderError: See :meth:`rereader.runs.session.Session.ask`.
    """
    chosen = graph or load_config().graph
    with open_session(workspace, names=models) as session:
        texts = read_sources(sources, password=password)
        check(session, question, chosen, settings)
        identities = documents_to_ask(session, texts, listen=listen)
        return session.ask(question, identities, graph=chosen, settings=settings, budget=budget, listen=listen)


def check(session: Session, question: str, graph: str, settings: Mapping[str, Any] | None) -> None:
    """Refuse a question, graph or setting that cannot be used, before anything is stored. Loads the reader."""
    values = get_graph(graph).settings(settings or {})
    session.check_question(question)
    session.check_models(values)


def documents_to_ask(session: Session, texts: Sequence[LoadedText], *, listen: Listen = ignore) -> list[str]:
    """Ids of the documents with these texts, stored now if they are new; all documents without any text."""
    found = store_texts(session, texts, listen=listen) if texts else session.library.documents.all()
    return [document.id for document in found]
