"""The block answerer: reads the blocks of the chunks that were let in, side by side, in place of their texts.

In every wave the reader writes down what the new blocks say, and passages of their chunks are quoted that carry it: the
next wave searches with those. The answer is written from all blocks that were let in and from what was written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from rereader.agents.block_maker import compression_of
from rereader.agents.calls import Caller, Request
from rereader.agents.chunker import ensure_chunks
from rereader.agents.compressor import Place, block_caller, blocks_of
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.agents.notes import NOTHING_YET, WRITTEN, note, notes, shown
from rereader.agents.quoter import add_carriers, conclude_with_quotes, quote_sources
from rereader.agents.waves import waves_due
from rereader.models.base import Generation, Sampling
from rereader.models.kvmemory import KVMemory
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import InputError, Record, Span

Key = list[int]
"""``[document position, chunk ordinal]``."""


def read_cost(settings: Any, facts: Facts) -> StageCost:
    """In every wave but an only one the blocks are read and what they say is written down."""
    if settings.waves == 1:
        return StageCost("read")
    read = settings.waves * (_places(settings, 1) + WRITTEN + facts.question_tokens + PROMPT_TOKENS)
    most = settings.waves * settings.working_tokens
    work = Work("generate", "reader", read, settings.waves * WRITTEN, settings.waves, most)
    return StageCost("read", (work, Work("rest", amount=facts.characters)), turns=settings.waves)


def answer_blocks_cost(settings: Any, facts: Facts) -> StageCost:
    """One call on all blocks that were let in."""
    if not settings.answer:
        return StageCost("answer")
    most = sum(document.tokens for document in facts.documents) / compression_of(settings).ratio
    read = min(most, _places(settings, settings.waves)) + WRITTEN + facts.question_tokens + PROMPT_TOKENS
    written = min(ANSWER_WRITTEN, settings.max_new_tokens)
    works = (
        Work("generate", "reader", read, written, 1, settings.max_new_tokens),
        Work("rest", amount=facts.characters),
    )
    return StageCost("answer", works)


def _places(settings: Any, waves: int) -> float:
    return float(waves * settings.accept * settings.chunk_tokens / compression_of(settings).ratio)


@costs(read_cost)
@made_with("reader")
def read_blocks(state: ReadingState, context: RunContext) -> Outcome:
    """Node: take up the chunks that were let in; where more waves may come, write down what their blocks say."""
    before = state.get("recalled", [])
    fresh = [key for key in state["accepted"] if key not in before]
    wave = state.get("wave", 0) + 1
    update: dict[str, Any] = {"recalled": [*before, *fresh], "wave": wave, "fresh": len(fresh)}
    if not fresh or context.settings.waves == 1:
        return Outcome(update, {"blocks": fresh})
    written, version, read = _write_down(state, context, fresh)
    share = context.settings.fill if wave < waves_due(context.settings, state) else 1.0
    spans = [_span(context, place) for place in _chunks(context, fresh)]
    quoting: ReadingState = {**state, "memory_version": version}
    version, scores = add_carriers(quoting, context, written.content, spans, share, wave)
    return Outcome({**update, "memory_version": version}, {"blocks": read, "scores": scores})


def _write_down(state: ReadingState, context: RunContext, fresh: Sequence[Key]) -> tuple[Record, int, list[Key]]:
    """Let the reader write its notes anew; the note, the new memory version, and the chunks whose blocks it read."""
    known, settings = notes(state, context), context.settings
    slots: dict[str, SlotValue] = {"question": state["question"], "known": shown(known, NOTHING_YET)}
    sampling = Sampling(settings.working_tokens, seed=settings.seed)
    reply, read, blocks = _ask(context, "kv_rewrite", slots, fresh, sampling)
    written = note(
        context,
        reply.text.strip(),
        "block reader",
        spans=[_span(context, place) for place in _chunks(context, read)],
        parents=[*known, *context.library.records.get(blocks)],
        model=context.need("reader").model.name,
        prompt=load("kv_rewrite").digest,
    )
    return written, context.memory.write(state.get("memory_version", 0), [("note", written)], known), read


@costs(answer_blocks_cost)
def answer_blocks(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the blocks that were let in, and find quotes for the answer in their chunks."""
    settings, keys = context.settings, state.get("recalled", [])
    sources = [_span(context, place) for place in _chunks(context, keys)]
    known = notes(state, context)
    if not settings.answer:
        return quote_sources(state, context, "\n".join(record.content for record in known), sources)
    if not keys:
        return Outcome({"status": "declined"}, {"draft": "", "cited": [], "confidence": 0.0})
    before = [Piece("Known already: ", trusted=True), *shown(known, ""), Piece("\n\n", trusted=True)] if known else []
    slots: dict[str, SlotValue] = {"question": state["question"], "known": before}
    sampling = Sampling(settings.max_new_tokens, stop=("\n",), seed=settings.seed)
    reply, read, _ = _ask(context, "kv_answer", slots, keys, sampling)
    made = conclude_with_quotes(state, context, reply, sources)
    return Outcome(made.update, {**made.detail, "blocks": read})


def _ask(
    context: RunContext, template: str, slots: Mapping[str, SlotValue], keys: Sequence[Key], sampling: Sampling
) -> tuple[Generation, list[Key], list[str]]:
    """The reader's reply to a prompt with as many blocks as fit its window, the most wanted ones first.

    Returns:
        The reply, the chunks whose blocks it read in their order, and the ids of the blocks' records.
    """
    reader = block_caller(context)
    found = blocks_of(context, reader.role, _chunks(context, keys))
    count = _fitting(reader, template, slots, [held.block for held in found], sampling.max_new_tokens)
    if not count:
        msg = f"No compressed memory fits the {reader.model.context_window:,} tokens of {reader.model.name}."
        raise InputError(msg, "Lower working_tokens or chunk_tokens, or choose a reader with a larger window.")
    if count < len(keys):
        context.warn(f"Compressed memories of {len(keys) - count} chunks were left out: the window is full.")
    order = sorted(range(count), key=lambda place: keys[place])
    piece = Piece("", memory=tuple(found[place].block for place in order))
    reply = reader.generate([Request(load(template), {**slots, "memory": [piece]})], sampling)[0]
    return reply, [keys[place] for place in order], [found[place].record for place in order]


def _fitting(
    reader: Caller, template: str, slots: Mapping[str, SlotValue], blocks: Sequence[KVMemory], written: int
) -> int:
    """How many blocks fit the window one beside another, with the rest of the prompt and the reply."""
    first = Request(load(template), {**slots, "memory": [Piece("", memory=(blocks[0],))]})
    free = reader.model.context_window - written - reader.model.prompt_tokens([first.prompt])[0] + blocks[0].places
    return sum(size <= free for size in accumulate(block.places for block in blocks))


def _chunks(context: RunContext, keys: Sequence[Key]) -> list[Place]:
    chunkings = [ensure_chunks(context, document) for document in context.documents]
    return [(chunkings[position], ordinal) for position, ordinal in keys]


def _span(context: RunContext, place: Place) -> Span:
    return context.library.chunks.chunk(*place).span
