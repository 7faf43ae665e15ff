"""The chunker: cuts a document once per way of cutting."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import Facts, StageCost, Work, costs
from rereader.memory.chunks import Chunking
from rereader.schema import Chunk, Document
from rereader.tools.chunker import chunk_document
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words

_STORED = 8.0
"""Bytes in the library per character: text, passages, full-text index."""


def chunk_cost(settings: Any, facts: Facts) -> StageCost:
    """Cutting costs by the character, once per document; no model is called."""
    new = sum(document.characters for document in facts.documents if not document.cut)
    return StageCost("chunk", (Work("cut", amount=new),) if new else (), new * _STORED)


@costs(chunk_cost)
def chunk(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that every document of the run is cut."""
    made = [ensure_chunks(context, document) for document in context.documents]
    return Outcome(detail={"chunks": [chunking.chunks for chunking in made], "cut": made[0].settings if made else ""})


def ensure_chunks(context: RunContext, document: Document) -> Chunking:
    """The document's chunking under the run's settings, made now if it is not in the library."""
    settings = context.chunking_key()
    found = context.library.chunks.chunking(document.id, settings)
    if found:
        return found
    with context.library.adding(document.id, context.checkpoint):
        found = context.library.chunks.chunking(document.id, settings)
        return found or _chunk(context, document, settings)


def _chunk(context: RunContext, document: Document, settings: str) -> Chunking:
    started = time.monotonic()
    context.progress("chunk", started, 0, document.length)
    text = context.library.documents.text(document.id)
    chunks = chunk_document(
        text,
        document_id=document.id,
        count_tokens=context.counter,
        max_tokens=context.settings.chunk_tokens,
    )
    context.checkpoint()
    passages = list(cut_passages(text, chunks, context.settings.passage_words, _borders(context, document)))
    made = context.library.chunks.add(document.id, settings, chunks, passages)
    context.log.note("cut", "", started, amount=document.length)
    context.progress("chunk", started, document.length, document.length, made.tokens)
    return made


@dataclass(frozen=True)
class Borders:
    """Offsets, ascending: a passage ends at each ``hard`` one, and at a ``soft`` one if no sentence runs over it."""

    hard: Sequence[int] = ()
    soft: Sequence[int] = ()


def _borders(context: RunContext, document: Document) -> Borders:
    """A passage lies in one section or row, so that it can be cited by it; in one page as far as sentences do."""
    starts = context.library.documents.starts_of
    return Borders(sorted((*starts(document.id, "section"), *starts(document.id, "row"))), starts(document.id, "page"))


def cut_passages(
    text: str, chunks: Sequence[Chunk], words: int, borders: Borders = Borders()
) -> Iterator[tuple[int, int, int, str]]:
    """Passages ``(chunk ordinal, start, end, text)``: whole sentences joined up to ``words`` words inside a chunk."""
    for piece in chunks:
        first, last = piece.span.start, piece.span.end
        body = text[first:last]
        inside = Borders(_between(borders.hard, first, last), _between(borders.soft, first, last))
        for start, end in join_sentences(body, words, inside):
            yield piece.ordinal, first + start, first + end, body[start:end]


def join_sentences(text: str, words: int, borders: Borders = Borders()) -> list[tuple[int, int]]:
    """Spans of neighbouring sentences joined while they hold at most ``words`` words; a longer one stands alone."""
    joined: list[tuple[int, int]] = []
    apart = {*borders.hard, *borders.soft}
    held = 0
    for start, end in cut_at(sentence_spans(text), borders.hard):
        size = count_words(text[start:end])
        if joined and held + size <= words and start not in apart:
            joined[-1] = (joined[-1][0], end)
            held += size
        else:
            joined.append((start, end))
            held = size
    return joined


def cut_at(spans: Sequence[tuple[int, int]], offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The spans, those that hold an offset inside cut in two there; both ascending."""
    waiting = deque(offsets)
    for start, end in spans:
        while waiting and waiting[0] < end:
            offset = waiting.popleft()
            if offset > start:
                yield start, offset
                start = offset
        yield start, end


def _between(offsets: Sequence[int], first: int, last: int) -> list[int]:
    """The offsets in ``[first, last)``, counted from ``first``."""
    return [offset - first for offset in offsets[bisect_left(offsets, first) : bisect_left(offsets, last)]]
