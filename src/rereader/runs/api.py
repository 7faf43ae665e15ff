"""The one-call interface: ``from rereader import ask``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rereader.models.roles import RoleNames
from rereader.runs.documents import add_sources
from rereader.runs.session import DEFAULT_GRAPH, Listen, Session, ignore, open_session
from rereader.schema import Answer, Budget


def ask(
    question: str,
    sources: Sequence[str | Path] = (),
    *,
    graph: str = DEFAULT_GRAPH,
    workspace: Path | None = None,
    models: RoleNames | None = None,
    settings: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    listen: Listen = ignore,
) -> Answer:
    """Answer a question about files (or, without any, about every document of the workspace).

    Example:
        >>> from rereader import ask
        >>> ask("Who keeps the bees?", ["novel.txt"]).answer  # doctest: +SKIP

    Raises:
        RereaderError: See :meth:`rereader.runs.session.Session.ask`.
    """
    with open_session(workspace, names=models) as session:
        identities = documents_to_ask(session, sources, graph=graph, settings=settings, listen=listen)
        return session.ask(question, identities, graph=graph, settings=settings, budget=budget, listen=listen)


def documents_to_ask(
    session: Session,
    sources: Sequence[str | Path],
    *,
    graph: str,
    settings: Mapping[str, Any] | None = None,
    listen: Listen = ignore,
    **options: Any,
) -> list[str]:
    """Ids of the documents that the sources name, added now if they are new; all documents without sources."""
    if not sources:
        return [document.id for document in session.library.documents.all()]
    added = add_sources(session, sources, graph=graph, settings=settings, listen=listen, **options)
    return [document.id for document in added]
