"""Finds the earlier segment of a text that a word rests on: the one after which it is most likely.

The retrieval test of ARL (arXiv 2601.13734): the word is foretold from each candidate and the short prefix together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.agents.calls import Caller, Request
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import RunContext
from rereader.memory.chunks import Chunking, Passage
from rereader.prompts.loader import Piece, load
from rereader.schema import Document, Span
from rereader.tools.key_tokens import sentence_windows
from rereader.tools.words import content_words

SEGMENT_TOKENS = 128
_SEARCHED = 256
"""Characters before a word that its segment is searched with."""
_DEPTH = 1000
Stretch = tuple[Passage, ...]
"""Neighbouring passages."""


@dataclass(frozen=True)
class Key:
    """A word, by its characters, the characters that stand close before it, and its losses."""

    start: int
    end: int
    prefix: int
    long: float
    short: float


def stretches_of(context: RunContext, scorer: Caller, document: Document) -> list[Stretch]:
    """Overlapping stretches of whole sentences of a document, of about 128 of the scorer's tokens each."""
    passages = context.library.chunks.passages(ensure_chunks(context, document))
    sizes = scorer.model.count_tokens([context.library.documents.text_of(passage.span) for passage in passages])
    windows = sentence_windows(sizes, SEGMENT_TOKENS, SEGMENT_TOKENS // 2)
    return [tuple(passages[first:last]) for first, last in windows]


def segment_of(
    context: RunContext, scorer: Caller, document: Document, key: Key, stretches: Sequence[Stretch]
) -> Span | None:
    """The earlier stretch after which, with the short prefix, a word is most likely; ``None`` if nothing is like it."""
    text = context.library.documents
    found = candidates(context, document, key, stretches)
    if not found:
        return None
    glued = text.slice(document.id, max(0, key.start - 1), key.start).isspace()
    begin = key.start - glued  # most tokenizers write a word's token with the space before it
    before = Piece(text.slice(document.id, key.prefix, begin), span=span_in(document, key.prefix, begin))
    word = text.slice(document.id, begin, key.end)
    requests = [
        Request(load("segment"), {"segment": [Piece(text.text_of(span), span=span)], "before": [before]})
        for span in found
    ]
    scores = scorer.log_likelihood(requests, [word] * len(requests))
    return found[int(scores.argmax())]


def candidates(context: RunContext, document: Document, key: Key, stretches: Sequence[Stretch]) -> list[Span]:
    """Stretches before a word's short prefix that share most with the words before it, by BM25, in text order.

    The search only leaves out what shares nothing with the place; the paper tries every stretch.
    """
    scores = _shared(context, ensure_chunks(context, document), document, key)
    ranked: list[tuple[float, Stretch]] = []
    for stretch in stretches:
        score = sum(scores.get(passage.id, 0.0) for passage in stretch)
        if score > 0 and stretch[-1].span.end <= key.prefix:
            ranked.append((score, stretch))
    best = sorted(ranked, key=lambda one: -one[0])[: context.settings.candidates]
    spans = [span_in(document, stretch[0].span.start, stretch[-1].span.end) for _, stretch in best]
    return sorted((_stripped(context, span) for span in spans), key=lambda span: span.start)


def _shared(context: RunContext, chunking: Chunking, document: Document, key: Key) -> dict[int, float]:
    begin = max(0, key.start - _SEARCHED)
    words = content_words(context.library.documents.slice(document.id, begin, key.end))
    return dict(context.library.fulltext.search(chunking.id, words, _DEPTH))


def _stripped(context: RunContext, span: Span) -> Span:
    text = context.library.documents.text_of(span)
    start = span.start + len(text) - len(text.lstrip())
    return Span(document_id=span.document_id, start=start, end=start + len(text.strip()))


def span_in(document: Document, start: int, end: int) -> Span:
    """Characters of a document."""
    return Span(document_id=document.id, start=start, end=end)
