"""The indexer: gives every memory (or raw passage) of a document its vectors, once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.gister import ensure_gists
from rereader.memory.chunks import Chunking
from rereader.memory.vectors import Space, Unit
from rereader.schema import Span

RAW = "raw"
_CHUNKS_PER_BATCH = 64


def index(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that the memories of every document of the run can be searched."""
    kinds = {}
    for document in context.documents:
        space = ensure_index(context, ensure_chunks(context, document), context.settings.memory)
        kinds[document.id[:12]] = space.kind
    return Outcome(detail={"index": kinds})


def ensure_index(context: RunContext, chunking: Chunking, memory: str) -> Space:
    """The searchable vectors of a document's memories (``gist``) or passages (``raw``), the missing ones made now.

    Vectors are made in batches of whole chunks; each finished batch is stored, so that a killed process goes on there.
    """
    kind = RAW if memory == RAW else ensure_gists(context, chunking)
    embedder = context.models.embedder
    vectors = context.library.vectors
    space = vectors.space(chunking, kind, embedder.fingerprint)
    if space.complete:
        return space
    with context.library.adding(chunking.document_id, context.checkpoint):
        space = vectors.space(chunking, kind, embedder.fingerprint)
        return space if space.complete else _embed_all(context, space)


def _embed_all(context: RunContext, space: Space) -> Space:
    vectors, chunking = context.library.vectors, space.chunking
    started = time.monotonic()
    done = vectors.count(space)
    ordinal = tokens = 0
    for first in range(0, chunking.chunks, _CHUNKS_PER_BATCH):
        context.checkpoint()
        last = min(first + _CHUNKS_PER_BATCH, chunking.chunks)
        windows = list(_windows(context, space, first, last))
        if ordinal + len(windows) > done:
            texts = [window.text for window in windows]
            matrix = context.models.embedder.embed(texts, context.cancel)
            vectors.add(space, ordinal, [window.unit for window in windows], matrix)
            tokens += sum(context.models.embedder.count_tokens(texts))
        ordinal += len(windows)
        context.progress("embed", started, last, chunking.chunks, tokens)
    context.usage.embedded_tokens += tokens
    return vectors.finish(space)


@dataclass(frozen=True)
class _Window:
    unit: Unit
    text: str


def _windows(context: RunContext, space: Space, first: int, last: int) -> Iterator[_Window]:
    """Everything to embed for chunks ``[first, last)``, cut to the embedder's window: one vector per window."""
    pieces = list(_pieces(context, space, first, last))
    for (chunk, start, text), windows in zip(
        pieces, context.models.embedder.windows([text for _, _, text in pieces]), strict=True
    ):
        for begin, end in windows:
            if text[begin:end].strip():
                yield _Window(Unit(chunk, start + begin, start + end), text[begin:end])


def _pieces(context: RunContext, space: Space, first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """``(chunk ordinal, start, text)``: passages of the document, or the sentences or text of gists."""
    chunking, library = space.chunking, context.library
    if space.kind == RAW:
        passages = library.chunks.passages(chunking, first, last)
        yield from _slices(context, [(passage.chunk, passage.span) for passage in passages])
        return
    for chunk, record in sorted(library.records.gists(chunking, space.kind, range(first, last)).items()):
        if record.model == "extract":
            yield from _slices(context, [(chunk, span) for span in record.spans])
        else:
            yield chunk, 0, record.content


def _slices(context: RunContext, spans: Sequence[tuple[int, Span]]) -> Iterator[tuple[int, int, str]]:
    if not spans:
        return
    begin = min(span.start for _, span in spans)
    end = max(span.end for _, span in spans)
    text = context.library.documents.slice(spans[0][1].document_id, begin, end)
    for chunk, span in spans:
        yield chunk, span.start, text[span.start - begin : span.end - begin]
