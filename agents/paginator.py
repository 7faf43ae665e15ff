"""The paginator: ends pages where the reader finds a natural pause, one page after the other.

After ReadAgent (arXiv 2402.09727, section 3.1, and the published notebook). Where a page begins is known only when the
one before has ended, so the calls wait for one another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, TOKENS_PER_WORD, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.agents.page_break import REPLY_TOKENS, Paragraphs, choose_end, write_end
from rereader.agents.pages import expected_pages, most_pages, pages_key, pages_stored, stored
from rereader.memory.chunks import Chunking
from rereader.schema import Document, InputError, Record, RecordKind, Span
from rereader.tools.paging import Limits, Pick, page_ends
from rereader.tools.paragraphs import paragraph_spans, size_in_words

_STORED = 200.0
"""Bytes in the library per page."""
_LABEL_WRITTEN = 4
"""Tokens of a written label that are expected."""


def paginate_cost(settings: Any, facts: Facts) -> StageCost:
    """One call a page, one after the other; each reads about ``max_words`` words after the page before."""
    new = [document for document in facts.documents if not pages_stored(settings, document)]
    pages, most = (sum(count(settings, document) for document in new) for count in (expected_pages, most_pages))
    if settings.pagination == "uniform" or "reader" not in facts.bound or not new:
        return StageCost("paginate", disk=pages * _STORED)
    before = sum(document.tokens for document in new)
    read = pages * (settings.max_words * TOKENS_PER_WORD + PROMPT_TOKENS) + before
    work = Work("score", "reader", read, calls=pages, most_calls=most)
    if settings.pagination == "generate":
        work = Work("generate", "reader", read, pages * _LABEL_WRITTEN, pages, most * REPLY_TOKENS, most)
    return StageCost("paginate", (work,), pages * _STORED)


@costs(paginate_cost)
@made_with("reader")
def paginate(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that every document of the run is cut into pages."""
    return Outcome(detail={"pages": [len(ensure_pages(context, document)) for document in context.documents]})


def ensure_pages(context: RunContext, document: Document) -> list[Record]:
    """The document's pages under the run's settings, each a record that holds its span; made now if they are missing.

    They are stored all at once: a run that is killed before finds its calls in the cache when it goes on.
    """
    chunking, key = ensure_chunks(context, document), pages_key(context)
    made = context.library.records.gist_count
    if not made(chunking, key):
        with context.library.adding(document.id, context.checkpoint):
            if not made(chunking, key):
                _make(context, document, chunking, key)
    return stored(context, chunking, key)


def _make(context: RunContext, document: Document, chunking: Chunking, key: str) -> None:
    mark, started = context.mark(), time.monotonic()
    text, settings = context.library.documents.text(document.id), context.settings
    paragraphs = Paragraphs(document.id, text, paragraph_spans(text, settings.max_words))
    sizes = [size_in_words(text[start:end]) for start, end in paragraphs.spans]
    limits = Limits(settings.min_words, settings.max_words, settings.rest_words)
    ends = page_ends(sizes, limits, _picker(context, paragraphs, started))
    spans = [paragraphs.span(first, last) for first, last in zip([0, *ends], ends, strict=False)]
    with context.storing(mark):
        context.library.records.add_gists(chunking, key, [(i, _record(span, i, key)) for i, span in enumerate(spans)])
    context.progress("paginate", started, document.length, document.length)


def _picker(context: RunContext, paragraphs: Paragraphs, started: float) -> Pick:
    """Who chooses a page's end: the reader, or nobody, so that the page is as long as it may be."""
    if context.settings.pagination == "uniform":
        return lambda _before, _start, ends: len(ends) - 1
    reader = context.need("reader")
    if context.settings.pagination == "choose" and not reader.model.capabilities.choose:
        msg = f"{reader.model.name} cannot tell which label of a page's end is the likeliest."
        raise InputError(msg, "Let it write the label: --set pagination=generate.")
    ask = choose_end if context.settings.pagination == "choose" else write_end

    def pick(before: int, start: int, ends: Sequence[int]) -> int:
        context.checkpoint()
        context.progress("paginate", started, paragraphs.spans[start][0], len(paragraphs.text))
        return ask(context, reader, paragraphs, before, start, ends)

    return pick


def _record(span: Span, ordinal: int, key: str) -> Record:
    return Record.create(
        run_id=span.document_id,
        kind=RecordKind.NOTE,
        content=f"page {ordinal + 1}",
        agent="paginator",
        spans=[span],
        ordinal=ordinal,
        prompt_hash=key,
    )
