"""The recaller: goes through the chunks in order, lets one in or passes it by, and rewrites what it knows for each.

The published order of LycheeMemory (arXiv 2602.08382): the gate sees a chunk's memory, the question and the working
memory; the working memory is rewritten for chunks that it lets in, and for no others; no chunk is looked at again.
With ``reads=kv`` a memory is a block of keys and values, and gate and reasoner are one model, as published.

Chunks after one that was let in are gated with another working memory than those before it. Several may still be gated
in one batch: what was judged beyond the first one let in is thrown away and judged anew, so the decisions are the same
as one by one, in fewer dependent calls.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rereader.agents.block_maker import compression_of
from rereader.agents.calls import Caller, Request
from rereader.agents.chunker import ensure_chunks
from rereader.agents.compressor import Place, block_caller, block_pieces, wants_blocks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.gate import yes_or_no
from rereader.agents.gister import ensure_gists
from rereader.agents.notes import NOTHING_YET, WRITTEN, note, notes, shown
from rereader.models.base import Float32Array, Sampling
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import InputError, Record

_LET_IN = 0.1
"""Share of the chunks that is expected to be let in."""
_TEMPLATE_TOKENS = 128
_KV_TEMPLATE_TOKENS = 192


def recall_cost(settings: Any, facts: Facts) -> StageCost:
    """The gate judges every chunk once, and some again after each that is let in, which the reader reads."""
    chunks = sum(document.chunks for document in facts.documents)
    let_in = chunks * _LET_IN
    judged = round(chunks + let_in * (settings.ahead - 1) / 2)
    kept = 1 / compression_of(settings).ratio
    shares = {"gist": settings.gist_share, "raw": 1.0, "kv": kept, "both": kept}
    shown_tokens = settings.chunk_tokens * shares[settings.reads]
    asked = facts.question_tokens + WRITTEN + PROMPT_TOKENS
    gatekeeper = "scorer" if "scorer" in facts.bound and settings.reads != "kv" else "reader"
    gating = Work("score", gatekeeper, judged * (shown_tokens + asked), calls=judged)
    writes = max(1, round(let_in))
    read = writes * ((settings.chunk_tokens if settings.reads == "both" else shown_tokens) + asked)
    writing = Work("generate", "reader", read, writes * WRITTEN, writes, writes * settings.working_tokens)
    return StageCost("recall", (gating, writing), turns=-(-chunks // settings.ahead) + writes)


@costs(recall_cost)
def recall_in_order(state: ReadingState, context: RunContext) -> Outcome:
    """Node: gate the next chunks; rewrite the working memory for the first that is let in."""
    settings = context.settings
    places = _places(context)
    first = state.get("block", 0)
    _check_windows(context, state["question"])  # of every step, since a fork may ask something longer
    batch = places[first : first + settings.ahead]
    started = time.monotonic() - context.usage.seconds.get("recall", 0.0)
    context.progress("recall", started, first, len(places), context.usage.total_tokens)
    known = notes(state, context)
    pieces = _memories(context, batch)
    sure = _gate(context, state["question"], known, pieces)
    let_in = next((i for i, probability in enumerate(sure) if probability > settings.threshold), None)
    judged = len(batch) if let_in is None else let_in + 1
    version = state.get("memory_version", 0)
    if let_in is not None:
        piece = _text(context, batch[let_in]) if settings.reads == "both" else pieces[let_in]
        version = _rewrite(state, context, known, batch[let_in], piece)
    positions = {document.id: position for position, document in enumerate(context.documents)}
    decisions = [
        [positions[chunking.document_id], ordinal, None, round(float(sure[i]), 4), i == let_in]
        for i, (chunking, ordinal) in enumerate(batch[:judged])
    ]
    update = {"memory_version": version, "block": first + judged, "windows": len(places)}
    return Outcome(update, {"decisions": decisions})


def _check_windows(context: RunContext, question: str) -> None:
    """Make sure that gate and reader can take a chunk beside the longest working memory.

    Raises:
        InputError: If one of them cannot, or the gate cannot choose.
    """
    settings, gate = context.settings, _gatekeeper(context)
    if not gate.model.capabilities.choose:
        msg = f"{gate.model.name} cannot be the gate of a scan: it cannot tell which reply is the likelier one."
        raise InputError(msg, "Name a local scorer: --role scorer=NAME.")
    for caller, written in ((gate, 0), (context.need("reader"), settings.working_tokens)):
        memory = _most_shown(context, caller, writes=bool(written))
        asked = caller.model.count_tokens([question])[0]
        asked += _KV_TEMPLATE_TOKENS if wants_blocks(settings) else _TEMPLATE_TOKENS
        needed, window = memory + settings.working_tokens + asked + written, caller.model.context_window
        if needed > window:
            msg = f"A chunk beside the working memory may take {needed:,} tokens; {caller.model.name} reads {window:,}."
            raise InputError(msg, "Lower working_tokens or chunk_tokens, or choose a model with a larger window.")


def _most_shown(context: RunContext, caller: Caller, *, writes: bool) -> int:
    """Most tokens of what is shown of a chunk to the gate, or to who writes the working memory."""
    settings = context.settings
    if settings.reads == "raw" or (writes and settings.reads == "both"):
        return int(settings.chunk_tokens)
    if wants_blocks(settings):
        return int(-(-settings.chunk_tokens // compression_of(settings).ratio))
    longest = ""
    for document in context.documents:
        chunking = ensure_chunks(context, document)
        longest = max(longest, context.library.records.longest_gist(chunking, ensure_gists(context, chunking)), key=len)
    return caller.model.count_tokens([longest])[0]


def _places(context: RunContext) -> list[Place]:
    """Every chunk of the run's documents, in order."""
    chunkings = [ensure_chunks(context, document) for document in context.documents]
    return [(chunking, ordinal) for chunking in chunkings for ordinal in range(chunking.chunks)]


def _memories(context: RunContext, places: Sequence[Place]) -> list[Piece]:
    """What is known of chunks without a question: their blocks, their gists, or all of their texts."""
    if wants_blocks(context.settings):
        return block_pieces(context, _gatekeeper(context).role, places)
    return [_text(context, place) if context.settings.reads == "raw" else _gist(context, place) for place in places]


def _gist(context: RunContext, place: Place) -> Piece:
    chunking, ordinal = place
    record = context.library.records.gists(chunking, ensure_gists(context, chunking), [ordinal])[ordinal]
    return Piece(record.content, record=record.id)


def _text(context: RunContext, place: Place) -> Piece:
    span = context.library.chunks.chunk(*place).span
    return Piece(context.library.documents.text_of(span), span=span)


def _gate(context: RunContext, question: str, known: Sequence[Record], pieces: Sequence[Piece]) -> Float32Array:
    """How sure the gate is that each chunk helps: float32 [chunks], 0 to 1; a half is what it says of an empty one."""
    before = [Piece("Known already: ", trusted=True), *shown(known, "")] if known else []
    rows = yes_or_no(_gatekeeper(context), question, before, pieces)
    sure: Float32Array = 1.0 / (1.0 + np.exp(rows[:, 1] - rows[:, 0]))
    return sure


def _gatekeeper(context: RunContext) -> Caller:
    """Who judges chunks; a block can be judged by the model that made it, and by no other one."""
    if wants_blocks(context.settings):
        return block_caller(context)
    return context.caller("scorer") or context.need("reader")


def _rewrite(state: ReadingState, context: RunContext, known: Sequence[Record], place: Place, piece: Piece) -> int:
    """Let the reader write the working memory anew; the new version's number."""
    reader, settings = context.need("reader"), context.settings
    slots: dict[str, SlotValue] = {"question": state["question"], "known": shown(known, NOTHING_YET), "memory": [piece]}
    sampling = Sampling(settings.working_tokens, seed=settings.seed)
    request = Request(load("kv_rewrite" if piece.memory else "rewrite"), slots)
    text = reader.generate([request], sampling)[0].text.strip()
    memory = context.library.records.get([piece.record]) if piece.record else []
    spans = [context.library.chunks.chunk(*place).span]
    parents, prompt = [*known, *memory], request.template.digest
    written = note(context, text, "recaller", spans=spans, parents=parents, model=reader.model.name, prompt=prompt)
    return context.memory.write(state.get("memory_version", 0), [("note", written)], known)
