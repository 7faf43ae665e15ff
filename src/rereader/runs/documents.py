"""From files to documents of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from rereader.graphs.registry import get_graph
from rereader.models.base import Cancel
from rereader.runs.session import DEFAULT_GRAPH, Listen, Session, ignore
from rereader.schema import Document, Event
from rereader.tools.loaders import load_source


def add_sources(
    session: Session,
    sources: Sequence[str | Path],
    *,
    graph: str = DEFAULT_GRAPH,
    settings: Mapping[str, Any] | None = None,
    encoding: str | None = None,
    password: str | None = None,
    stdin: BinaryIO | None = None,
    listen: Listen = ignore,
    cancel: Cancel | None = None,
) -> list[Document]:
    """Read files, folders or ``-`` (standard input) and make their memories; what is there already costs nothing.

    All sources are read before anything is stored, so that a wrong one leaves nothing half done. A changed file becomes
    a new document; the old version stays until it is removed.
    """
    get_graph(graph).settings(settings or {})
    documents = store_sources(session, sources, encoding=encoding, password=password, stdin=stdin, listen=listen)
    for document in documents:
        session.prepare(document, graph=graph, settings=settings, listen=listen, cancel=cancel)
    return documents


def store_sources(
    session: Session,
    sources: Sequence[str | Path],
    *,
    encoding: str | None = None,
    password: str | None = None,
    stdin: BinaryIO | None = None,
    listen: Listen = ignore,
) -> list[Document]:
    """Read files, folders or ``-`` and store their texts, each once; memories are made by the run that needs them.

    ``password`` opens encrypted files; it is not kept.
    """
    texts = [
        text for source in sources for text in load_source(source, encoding=encoding, password=password, stdin=stdin)
    ]
    documents = []
    for text in texts:
        for warning in text.warnings:
            listen(Event("warning", "", text=f"{text.source}: {warning}"))
        documents.append(
            session.library.documents.add(
                text.text, title=text.title, source=text.source, loader=text.loader, places=text.places
            )
        )
    return list({document.id: document for document in documents}.values())
