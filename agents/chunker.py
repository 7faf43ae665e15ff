"""The chunker: cuts a document once per way of cutting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.memory.chunks import Chunking
from rereader.schema import Chunk, Document
from rereader.tools.chunker import chunk_document
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words


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
    passages = list(cut_passages(text, chunks, context.settings.passage_words))
    made = context.library.chunks.add(document.id, settings, chunks, passages)
    context.progress("chunk", started, document.length, document.length, made.tokens)
    return made


def cut_passages(text: str, chunks: Sequence[Chunk], words: int) -> Iterator[tuple[int, int, int, str]]:
    """Passages ``(chunk ordinal, start, end, text)``: whole sentences joined up to ``words`` words inside a chunk."""
    for piece in chunks:
        body = text[piece.span.start : piece.span.end]
        for start, end in join_sentences(body, words):
            yield piece.ordinal, piece.span.start + start, piece.span.start + end, body[start:end]


def join_sentences(text: str, words: int) -> list[tuple[int, int]]:
    """Spans of neighbouring sentences joined while they hold at most ``words`` words; a longer one stands alone."""
    joined: list[tuple[int, int]] = []
    held = 0
    for start, end in sentence_spans(text):
        size = count_words(text[start:end])
        if joined and held + size <= words:
            joined[-1] = (joined[-1][0], end)
            held += size
        else:
            joined.append((start, end))
            held = size
    return joined
