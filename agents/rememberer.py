"""The rememberer: reads a text block by block and keeps what it writes of it, overwriting what it wrote before.

MemAgent (arXiv 2507.02259) and what was published to improve on it: see the graph ``memory-agent``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rereader.agents.blocks import LEAST_BLOCK, block_size, blocks
from rereader.agents.calls import Caller, Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.agents.notes import NOTHING_YET, WRITTEN, note, notes, shown
from rereader.agents.spending import check_room
from rereader.memory.working import Slot
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import BudgetSpent, Record, Span
from rereader.tools.lexical import Words
from rereader.tools.words import content_words

_AGENT = "rememberer"
_TEMPLATE_TOKENS = 320
_FIELD = re.compile(r"^\s*(UPDATE|EXIT|RECALL|MEMORY)\s*:[ \t]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Reply:
    """What a reply says: the memory (``None`` leaves it as it is), whether to stop reading, what to recall."""

    memory: str | None
    exits: bool = False
    recall: str = ""


def block_room(settings: Any, window: int, asked: int) -> int:
    """Tokens of a block that fit a window beside the memory."""
    memory = (settings.memories + 1) * settings.memory_tokens + (settings.memory_tokens if settings.recall else 0)
    room: int = window - memory - asked - _TEMPLATE_TOKENS
    return room


def remember_cost(settings: Any, facts: Facts) -> StageCost:
    """One call for each block, one after the other; none of them is spared unless reading may end early."""
    room = block_room(settings, facts.reader_window, facts.question_tokens)
    size = max(LEAST_BLOCK, min(settings.block_tokens, room))
    calls = sum(-(-document.tokens // size) for document in facts.documents)
    held = settings.memories * WRITTEN + facts.question_tokens + PROMPT_TOKENS
    read = facts.tokens + calls * held
    work = Work("generate", "reader", read, calls * WRITTEN, calls, calls * settings.memory_tokens)
    return StageCost("read", (work,), turns=calls)


@costs(remember_cost)
@made_with("reader")
def remember(state: ReadingState, context: RunContext) -> Outcome:
    """Node: read the next block and write the memory anew."""
    settings, reader = context.settings, context.need("reader")
    size = _size(state, context, reader)
    parts, number = blocks(context, reader.model, size), state.get("block", 0)
    if not parts:
        return Outcome({"block": 0, "windows": 0})
    started = time.monotonic() - context.usage.seconds.get("read", 0.0)
    context.progress("read", started, number, len(parts), context.usage.total_tokens)
    held = notes(state, context)
    request = _request(state, context, held, parts[number])
    try:
        _check_answer(context, reader, request)
    except BudgetSpent as error:
        if not held:
            raise
        context.warn(f"{error.message} Reading ended after {number:,} of {len(parts):,} blocks.")
        update = {"size": size, "block": len(parts), "windows": len(parts), "ended": True}
        return Outcome(update, {"block": number, "ended": True})
    sampling = Sampling(settings.memory_tokens, temperature=settings.temperature, seed=settings.seed + number)
    text = reader.generate([request], sampling)[0].text.strip()
    reply = parse(text) if _asks_more(settings) else Reply(text)
    if reply is None:
        context.usage.parse_failures += 1
        reply = Reply(text or None)
    version, place = _keep(state, context, held, reply, parts[number], request.template.digest)
    ends = settings.early_exit and reply.exits
    read = len(parts) if ends else number + 1
    update = {"memory_version": version, "size": size, "block": read, "windows": len(parts)}
    span = [parts[number].document_id[:12], parts[number].start, parts[number].end]
    return Outcome(update, {"block": number, "span": span, "rewritten": place, "exit": ends, "recall": reply.recall})


def _size(state: ReadingState, context: RunContext, reader: Caller) -> int:
    """Tokens of a block."""
    asked = reader.model.count_tokens([state["question"]])[0]
    room = block_room(context.settings, reader.model.context_window, asked)
    return block_size(context, reader, context.settings.block_tokens, room, state.get("size", 0))


def _check_answer(context: RunContext, reader: Caller, request: Request) -> None:
    """Make sure that the budget has room for the next memory and for an answer from it.

    Raises:
        BudgetSpent: If it has not.
    """
    # Counting the tokens of a prompt takes a while.
    tokens = 0 if context.budget.tokens is None else _tokens_due(context.settings, reader, request)
    check_room(context, tokens, 1 + context.settings.answer)


def _tokens_due(settings: Any, reader: Caller, request: Request) -> int:
    """Most tokens of the next memory and of an answer from it."""
    tokens: int = sum(reader.model.prompt_tokens([request.prompt])) + settings.memory_tokens
    if settings.answer:
        tokens += _TEMPLATE_TOKENS + settings.memories * settings.memory_tokens + settings.max_new_tokens
    return tokens


def _asks_more(settings: Any) -> bool:
    return bool(settings.skip_writes or settings.early_exit or settings.recall or settings.memories > 1)


def _request(state: ReadingState, context: RunContext, held: Sequence[Record], span: Span) -> Request:
    section = Piece(context.library.documents.text_of(span), span=span)
    slots: dict[str, SlotValue] = {"question": state["question"], "section": [section]}
    slots["memory"] = shown(held, NOTHING_YET)
    if not _asks_more(context.settings):
        return Request(load("remember"), slots)
    slots["recalled"] = _recalled(state, context)
    slots["task"] = [Piece(_task(context.settings, _place(context.settings, held)), trusted=True)]
    return Request(load("remember_more"), slots)


def _task(settings: Any, place: int) -> str:
    """What the reply must look like, line by line."""
    lines = []
    if settings.skip_writes:
        lines.append("UPDATE: yes if the section helps to solve the problem, otherwise no")
    if settings.early_exit:
        lines.append("EXIT: yes if the memory is enough to solve the problem, otherwise no")
    if settings.recall:
        lines.append("RECALL: a few words to look up in your earlier memories, or none")
    part = f"part [{place + 1}] of the memory, written anew" if settings.memories > 1 else "the memory, written anew"
    lines.append(f"MEMORY: {part}")
    return "Reply in these lines and nothing else:\n" + "\n".join(lines)


def parse(text: str) -> Reply | None:
    """A reply in lines ``UPDATE:``, ``EXIT:``, ``RECALL:`` and ``MEMORY:``; ``None`` if it has no such line.

    The memory is all that follows its mark up to the next mark, and needs none if the reply is nothing else.
    """
    marks = list(_FIELD.finditer(text))
    if not marks:
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    found = {mark[1].upper(): text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}
    memory = found.get("MEMORY", "")
    keeps = found.get("UPDATE", "yes").lower().startswith("no")
    recall = found.get("RECALL", "")
    return Reply(
        None if keeps or not memory else memory,
        found.get("EXIT", "no").lower().startswith("yes"),
        "" if recall.lower().startswith("none") else recall,
    )


def _place(settings: Any, held: Sequence[Record]) -> int:
    """Which part of the memory is rewritten: one that is empty, else the one rewritten longest ago."""
    newest = {record.ordinal: record.step for record in held}  # a pinned record stays beside its part's newer ones
    free = [place for place in range(settings.memories) if place not in newest]
    return free[0] if free else min(newest, key=newest.__getitem__)


def _recalled(state: ReadingState, context: RunContext) -> list[Piece]:
    """The earlier memory that the last reply asked for: the best of all that were overwritten."""
    asked = context.memory.read(state.get("memory_version", 0), "question")
    if not asked:
        return []
    past = context.memory.left(state.get("memory_version", 0), "note")
    if not past:
        return []
    scores = Words([record.content for record in past]).bm25(content_words(asked[0].record.content))
    best = int(scores.argmax())
    if scores[best] <= 0:
        return []
    before, after = Piece("<recalled>\n", trusted=True), Piece("\n</recalled>\n\n", trusted=True)
    return [before, Piece(past[best].content, record=past[best].id), after]


def _keep(
    state: ReadingState, context: RunContext, held: Sequence[Record], reply: Reply, span: Span, prompt: str
) -> tuple[int, int | None]:
    """Write what the reply says; the new memory version, and which part of the memory was rewritten."""
    added: list[tuple[Slot, Record]] = []
    dropped = [entry.record for entry in context.memory.read(state.get("memory_version", 0), "question")]
    place = None
    if reply.memory is not None:
        place = _place(context.settings, held)
        old = [record for record in held if record.ordinal == place]
        model = context.need("reader").model.name
        written = note(
            context, reply.memory, _AGENT, spans=[span], parents=old, ordinal=place, model=model, prompt=prompt
        )
        added.append(("note", written))
        dropped += old
    if reply.recall and context.settings.recall:
        added.append(("question", note(context, reply.recall, f"{_AGENT}: recall")))
    return context.memory.write(state.get("memory_version", 0), added, dropped), place
