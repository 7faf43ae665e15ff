"""From files to documents of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from rereader.graphs.registry import get_graph
from rereader.models.base import Cancel
from rereader.runs.session import DEFAULT_GRAPH, Listen, Session, ignore
from rereader.schema import Document, Event
from rereader.tools.loaders import LoadedText, load_source


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
    values = get_graph(graph).settings(settings or {})
    texts = read_sources(sources, encoding=encoding, password=password, stdin=stdin)
    session.check_models(values)
    documents = store_texts(session, texts, listen=listen)
    for document in documents:
        session.prepare(document, graph=graph, settings=settings, listen=listen, cancel=cancel)
    return documents


def read_sources(
    sources: Sequence[str | Path],
    *,
    encoding: str | None = None,
    password: str | None = None,
    stdin: BinaryIO | None = None,
) -> list[LoadedText]:
    """Read files, folders or ``-`` (standard input). ``password`` opens encrypted files; it is not kept."""
    load = partial(load_source, encoding=encoding, password=password, stdin=stdin)
    return [text for source in sources for text in load(source)]


def store_texts(session: Session, texts: Sequence[LoadedText], *, listen: Listen = ignore) -> list[Document]:
    """Store texts, each once; memories are made by the run that needs them."""
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
