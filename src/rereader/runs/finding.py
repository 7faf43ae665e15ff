"""Finding passages that say what a query says, with the search that the graphs use; no run is made of it.

:mod:`rereader.runs.searching` looks for words letter for letter and needs no index; this needs the embedder.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from rereader.agents.context import RunContext
from rereader.agents.indexer import RAW
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import Scored, asked, rank_passages
from rereader.graphs.retrieval import RetrievalSettings
from rereader.models.base import Cancel
from rereader.runs.session import Listen, Session, ignore
from rereader.schema import Budget, InputError, Usage

MOST_PASSAGES = 50
LONGEST_QUERY = 2_000
"""Characters."""


@dataclass(frozen=True)
class FoundPassage:
    """A passage that was found.

    Args:
        document_id: Its document.
        title: The document's title.
        start: Its first character.
        end: The character after its last one.
        text: The characters between.
        score: How well it fits: cosine and coverage of the query's words, added up.
        line: The line that it begins in.
        places: Page, section, row and time that it begins in, where the document has them.
    """

    document_id: str
    title: str
    start: int
    end: int
    text: str
    score: float
    line: int
    places: dict[str, str]


def find_passages(
    session: Session,
    query: str,
    document_ids: Sequence[str],
    *,
    limit: int = 10,
    listen: Listen = ignore,
    cancel: Cancel | None = None,
) -> list[FoundPassage]:
    """The passages of some documents that fit a query best, the best first.

    A document that is searched for the first time is cut and indexed now, as by a question to ``retrieval``; no model
    but the embedder is used.

    Args:
        session: Workspace and models.
        query: Words, a sentence or a question.
        document_ids: Ids or titles of the documents.
        limit: Most passages.
        listen: Is told how far the indexing is.
        cancel: Stops it.

    Raises:
        InputError: If the query or the limit cannot be used, or there is no such document.
        Interrupted: If ``cancel`` was set.
    """
    _check(query, limit)
    settings = RetrievalSettings()  # documents are cut as graphs cut them if nothing else is said, so they share it
    documents = {document.id: document for document in map(session.library.documents.get, document_ids)}
    context = RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=settings,
        run_id="",
        documents=tuple(documents.values()),
        budget=Budget(),
        usage=Usage(),
        cancel=cancel or threading.Event(),
        listen=listen,
    )
    targets = targets_of(context, RAW)
    ranked = rank_passages(
        context,
        targets,
        asked(query, settings.beside),
        ranker="fused",
        bm25_weight=settings.bm25_weight,
    )
    return _found(context, ranked[:limit])


def _check(query: str, limit: int) -> None:
    if not query.strip():
        raise InputError("The query is empty.", "Say what to look for.")
    if len(query) > LONGEST_QUERY:
        msg = f"The query has {len(query):,} characters; {LONGEST_QUERY:,} are the most."
        raise InputError(msg, "Say in a sentence what to look for.")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InputError("The query is not sound Unicode.", "Leave lone surrogates out.") from error
    if not 1 <= limit <= MOST_PASSAGES:
        raise InputError(f"A limit of {limit} passages is not possible.", f"Give a number from 1 to {MOST_PASSAGES}.")


def _found(context: RunContext, ranked: Sequence[Scored]) -> list[FoundPassage]:
    stores = context.library.documents
    spans = [one.passage.span for one in ranked]
    titles = {document.id: document.title for document in context.documents}
    starts = {name: [span.start for span in spans if span.document_id == name] for name in titles}
    lines = {name: stores.lines_of(name, offsets) for name, offsets in starts.items()}
    places = {name: stores.places_at(name, offsets) for name, offsets in starts.items()}
    return [
        FoundPassage(
            document_id=span.document_id,
            title=titles[span.document_id],
            start=span.start,
            end=span.end,
            text=stores.text_of(span),
            score=round(float(one.score), 4),
            line=lines[span.document_id][span.start],
            places=places[span.document_id][span.start],
        )
        for one, span in zip(ranked, spans, strict=True)
    ]
