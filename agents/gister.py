"""The gister: compresses every chunk once, whatever will be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rereader.agents.calls import Request
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, DocumentFacts, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.memory.chunks import Chunking
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, load
from rereader.schema import Chunk, Record, RecordKind, Span
from rereader.tools.extract import central_sentences, document_frequencies
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words

AUTO_LIMIT = 20_000
"""Above so many tokens a CPU extracts gists instead of writing them."""
_EXTRACT_BATCH = 64
_MODEL_BATCH = 16
_GIST_TOKENS = 80
_GIST_WRITTEN = 60
"""Tokens of a written gist that are expected."""
_STORED = 16.0
"""Bytes in the library per token of a gist."""


def gist_cost(settings: Any, facts: Facts) -> StageCost:
    """Extracting calls no model; writing reads every chunk once and writes a gist for each."""
    works = [work for document in facts.documents if (work := _gist_work(settings, facts, document))]
    kept = sum(work.amount * settings.gist_share if work.kind == "extract" else work.written for work in works)
    return StageCost("gist", tuple(works), kept * _STORED)


def _gist_work(settings: Any, facts: Facts, document: DocumentFacts) -> Work | None:
    method = planned_method(settings, document.tokens, on_cuda=facts.on_cuda, gister=lambda: "gister" in facts.bound)
    left = document.chunks - gists_stored(settings, document, method)
    if left <= 0:
        return Work("generate", "gister") if method == "model" else None  # its name is asked of the loaded gister
    tokens = document.tokens * left / document.chunks
    if method == "extract":
        return Work("extract", amount=tokens)
    read = tokens + left * PROMPT_TOKENS
    return Work("generate", "gister", read, left * _GIST_WRITTEN, left, left * _GIST_TOKENS)


def gists_stored(settings: Any, document: DocumentFacts, method: str) -> int:
    """Gists that the library holds, as far as can be told without loading the gister."""
    if method == "extract":
        return document.gists.get(extract_key(settings), 0)
    ending = f":{load('gist').digest}:{_GIST_TOKENS}"
    found = [n for key, n in document.gists.items() if key.startswith("model:") and key.endswith(ending)]
    return max(found, default=0)


@costs(gist_cost)
@made_with("gister")
def gist(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that every chunk of the run's documents has a gist."""
    methods = {}
    for document in context.documents:
        chunking = ensure_chunks(context, document)
        methods[document.id[:12]] = ensure_gists(context, chunking)
    return Outcome(detail={"gist": methods})


def gist_method(context: RunContext, chunking: Chunking) -> str:
    """How this document's gists are made: named by the settings, or chosen by its length and the gister's device."""
    models = context.models
    return planned_method(
        context.settings, chunking.tokens, on_cuda=lambda: models.on_cuda, gister=lambda: models.gister is not None
    )


def planned_method(settings: Any, tokens: int, *, on_cuda: Callable[[], bool], gister: Callable[[], bool]) -> str:
    """The method; ``gister`` tells whether a model is bound, and neither function is asked unless it matters."""
    wanted: str = settings.gist
    if wanted != "auto":
        return wanted
    if tokens > AUTO_LIMIT and not on_cuda():
        return "extract"
    return "model" if gister() else "extract"


def gist_key(context: RunContext, method: str) -> str:
    """What identifies a set of gists: the method and all that decides its result."""
    if method == "extract":
        return extract_key(context.settings)
    template = load("gist")
    return f"model:{context.need('gister').model.fingerprint[:16]}:{template.digest}:{_GIST_TOKENS}"


def extract_key(settings: Any) -> str:
    """What identifies a set of extracted gists."""
    return f"extract:{settings.extract}:{settings.gist_share:g}"


def ensure_gists(context: RunContext, chunking: Chunking) -> str:
    """Gists of all chunks, the missing ones made now in batches that are stored one by one; returns their key."""
    method = gist_method(context, chunking)
    key = gist_key(context, method)
    if context.library.records.gist_count(chunking, key) < chunking.chunks:
        with context.library.adding(chunking.document_id, context.checkpoint):
            if method == "extract":
                _extract_all(context, chunking, key)
            else:
                _write_all(context, chunking, key)
    return key


def _extract_all(context: RunContext, chunking: Chunking, key: str) -> None:
    started = time.monotonic()
    done = context.library.records.gist_count(chunking, key)
    text = context.library.documents.text(chunking.document_id)
    chunks = context.library.chunks.range(chunking)
    frequency, total = document_frequencies(text[c.span.start : c.span.end] for c in chunks)
    tokens = 0
    for first in range(done, len(chunks), _EXTRACT_BATCH):
        context.checkpoint()
        batch = chunks[first : first + _EXTRACT_BATCH]
        records = [_extract(context, chunk, text, frequency, total, key) for chunk in batch]
        context.library.records.add_gists(chunking, key, records)
        tokens += sum(chunk.token_count for chunk in batch)
        context.progress("gist", started, first + len(batch), len(chunks), tokens)
    context.log.note("extract", "", started, amount=tokens)


def _extract(
    context: RunContext, chunk: Chunk, text: str, frequency: Mapping[str, int], total: int, key: str
) -> tuple[int, Record]:
    body = text[chunk.span.start : chunk.span.end]
    sentences = sentence_spans(body)
    kept = central_sentences(
        body,
        sentences,
        budget_words=max(1, round(count_words(body) * context.settings.gist_share)),
        method=context.settings.extract,
        document_frequency=frequency,
        total=total,
    )
    spans = [_span(chunk, *sentences[i]) for i in kept]
    content = " ".join(text[span.start : span.end].strip() for span in spans)
    return chunk.ordinal, _record(chunk, content, spans, key, "extract")


def _write_all(context: RunContext, chunking: Chunking, key: str) -> None:
    gister = context.need("gister")
    started = time.monotonic()
    done = context.library.records.gist_count(chunking, key)
    tokens = 0
    for first in range(done, chunking.chunks, _MODEL_BATCH):
        context.checkpoint()
        mark = context.mark()
        batch = context.library.chunks.range(chunking, first, first + _MODEL_BATCH)
        pieces = [Piece(context.library.documents.text_of(chunk.span), span=chunk.span) for chunk in batch]
        requests = [Request(load("gist"), {"passage": [piece]}) for piece in pieces]
        replies = gister.generate(requests, Sampling(max_new_tokens=_GIST_TOKENS, seed=context.settings.seed))
        records = [
            (chunk.ordinal, _record(chunk, reply.text.strip(), [chunk.span], key, gister.model.name))
            for chunk, reply in zip(batch, replies, strict=True)
        ]
        with context.storing(mark):
            context.library.records.add_gists(chunking, key, records)
        tokens += sum(reply.prompt_tokens + reply.completion_tokens for reply in replies)
        context.progress("gist", started, first + len(batch), chunking.chunks, tokens)


def _record(chunk: Chunk, content: str, spans: Sequence[Span], key: str, model: str) -> Record:
    return Record.create(
        run_id=chunk.span.document_id,
        kind=RecordKind.GIST,
        content=content,
        agent="gister",
        spans=spans,
        ordinal=chunk.ordinal,
        prompt_hash=key,
        model=model,
    )


def _span(chunk: Chunk, start: int, end: int) -> Span:
    offset = chunk.span.start
    return Span(document_id=chunk.span.document_id, start=offset + start, end=offset + end)
