"""The indexer: gives every memory (or raw passage) of a document its vectors, once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import (
    CHARACTERS_PER_PASSAGE,
    TOKENS_PER_WORD,
    DocumentFacts,
    Facts,
    StageCost,
    Work,
    costs,
)
from rereader.agents.fixing import made_with
from rereader.agents.gister import ensure_gists, extract_key, gist_cost
from rereader.agents.languages import warn_of_language
from rereader.memory.chunks import Chunking
from rereader.memory.vectors import Space, Unit
from rereader.schema import Span

RAW = "raw"
_CHUNKS_PER_BATCH = 64


_WORDS_PER_GIST_SENTENCE = 18


def index_cost(settings: Any, facts: Facts) -> StageCost:
    """Embedding costs by the token: all of the text for raw passages, the kept share of it for gists."""
    tokens = vectors = 0.0
    for document in facts.documents:
        kind, size, count = _memory_size(settings, facts, document)
        if not any(space == kind or (kind == "model" and space.startswith("model:")) for space in document.spaces):
            tokens += size
            vectors += count
    works = (Work("embed", "embedder", facts.embedded(tokens)),)
    # Once in the library and once in the FAISS file, with the row around it.
    return StageCost("index", works, vectors * (2 * 4 * facts.dimension + 80))


def _memory_size(settings: Any, facts: Facts, document: DocumentFacts) -> tuple[str, float, float]:
    """Kind of a document's memories, their tokens, and how many vectors they take."""
    if settings.memory == RAW:
        return RAW, document.tokens, document.characters / CHARACTERS_PER_PASSAGE
    works = gist_cost(settings, replace(facts, documents=(replace(document, gists={}),))).works
    if works[0].kind == "generate":
        return "model", works[0].written, document.chunks
    kept = works[0].amount * settings.gist_share
    return extract_key(settings), kept, kept / TOKENS_PER_WORD / _WORDS_PER_GIST_SENTENCE


@costs(index_cost)
@made_with("embedder")
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
    warn_of_language(context, chunking.document_id)
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
            mark = context.mark()
            texts = [window.text for window in windows]
            with context.log.stopping() as stop:
                matrix = context.models.embedder.embed(texts, stop)
            size = sum(context.models.embedder.count_tokens(texts))
            context.usage.embedded_tokens += size
            with context.storing(mark):
                vectors.add(space, ordinal, [window.unit for window in windows], matrix)
            tokens += size
        ordinal += len(windows)
        context.progress("embed", started, last, chunking.chunks, tokens)
    finished = vectors.finish(space)
    context.log.note("embed", context.models.embedder.name, started, amount=tokens)
    return finished


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
