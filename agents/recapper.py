"""The recapper: reads a text part by part and carries a recap of what it has read, whatever will be asked.

ARL (arXiv 2601.13734) at inference: see the graph ``active-recap``. Calls hold no question, so the next question finds
them in the call cache.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from rereader.agents.blocks import LEAST_BLOCK, block_size, blocks
from rereader.agents.calls import Caller, Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.agents.gap import RULE
from rereader.agents.notes import note, notes
from rereader.agents.quoter import conclude_with_quotes, quote_sources
from rereader.agents.segments import SEGMENT_TOKENS
from rereader.agents.spending import check_room
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import BudgetSpent, Record, RecordKind, Span

OPEN, CLOSE = "<recap>", "</recap>"
_TAG = re.compile(r"</?recap>")
_TOKENS_PER_WORD = 1.7
"""Of a model's tokens and the words that it is asked for: fewer words, so that recaps end by themselves."""
_SLACK = 64
_TEMPLATE_TOKENS = 160
WRITTEN = 0.6
"""Share of the most tokens of a recap that it is expected to have."""


def part_room(settings: Any, window: int, asked: int, segments: int = 0) -> int:
    """Tokens of a part that fit a window beside recaps, segments and the question."""
    reading = 2 * settings.recap_tokens + segments
    answering = settings.recap_tokens + asked + max(settings.max_new_tokens, settings.summary_tokens)
    room: int = window - max(reading, answering) - _TEMPLATE_TOKENS - _SLACK
    return room


def part_size(settings: Any, facts: Facts, segments: int = 0) -> int:
    """Tokens of a part that are expected."""
    room = part_room(settings, facts.reader_window, facts.question_tokens, segments)
    size: int = max(LEAST_BLOCK, min(settings.every, room))
    return size


def part_tokens(context: RunContext, reader: Caller, question: str = "", segments: int = 0, before: int = 0) -> int:
    """Tokens of the parts that the run's documents are read in.

    Args:
        context: The run; its settings are ``RecapSettings``.
        reader: Whose tokens they are cut by.
        question: What is asked beside the last part.
        segments: Tokens that are set aside for earlier segments.
        before: Tokens of the parts that were read before; 0 if none was.

    Raises:
        InputError: If none fits the reader's window.
    """
    asked = sum(reader.model.count_tokens([question]))
    room = part_room(context.settings, reader.model.context_window, asked, segments)
    return block_size(context, reader, context.settings.every, room, before)


def _tokens(state: ReadingState, context: RunContext, reader: Caller) -> int:
    """Tokens of the parts that one recap is carried through."""
    before = state.get("size", 0)
    return part_tokens(context, reader, state["question"], _segment_room(context.settings), before)


def _segment_room(settings: Any) -> int:
    """Tokens to set aside for the segments of a part: a stretch of text has one key token at most."""
    return (settings.every // RULE.stretch + 2) * 2 * SEGMENT_TOKENS if settings.deserve == "gap" else 0


def _part_counts(settings: Any, facts: Facts) -> tuple[int, int]:
    """Parts that the documents will be read in, and the tokens of the last one."""
    size = part_size(settings, facts, _segment_room(settings))
    counts = [-(-document.tokens // size) for document in facts.documents]
    return sum(counts), (facts.documents[-1].tokens - 1) % size + 1 if counts else 0


def recap_cost(settings: Any, facts: Facts) -> StageCost:
    """One call for each part but the last, one after the other; at most, where only some parts deserve one."""
    parts, last = _part_counts(settings, facts)
    calls, written = max(0, parts - 1), round(WRITTEN * settings.recap_tokens)
    read = facts.tokens - last + calls * (written + PROMPT_TOKENS)
    work = Work("generate", "reader", read, calls * written, calls, calls * settings.recap_tokens)
    return StageCost("recap", (work,), turns=max(1, calls))


@costs(recap_cost)
@made_with("reader")
def recap(state: ReadingState, context: RunContext) -> Outcome:
    """Node: read the next part and write the recap anew; the last part is left to the answer."""
    reader = context.need("reader")
    size = _tokens(state, context, reader)
    parts, number = blocks(context, reader.model, size), state.get("block", 0)
    started = time.monotonic() - context.usage.seconds.get("recap", 0.0)
    context.progress("recap", started, number, len(parts), context.usage.total_tokens)
    update: dict[str, Any] = {"size": size, "block": number, "windows": len(parts)}
    if number + 1 >= len(parts):
        return Outcome(update, {"block": number, "carried": True})
    span = parts[number]
    segments = _segments(state, context, span)
    detail: dict[str, Any] = {"block": number, "span": [span.document_id[:12], span.start, span.end]}
    update["block"] = number + 1
    if context.settings.deserve == "gap" and not segments:
        return Outcome(update, {**detail, "carried": True})
    try:
        made = _condense(state, context, reader, [span, *segments], parts[number + 1])
    except BudgetSpent as error:
        context.warn(f"{error.message} Reading ended after {number:,} of {len(parts):,} parts.")
        return Outcome({**update, "block": number, "ended": True}, {**detail, "ended": True})
    if made is None:
        context.usage.parse_failures += 1
        return Outcome(update, {**detail, "carried": True})
    version = context.memory.write(state.get("memory_version", 0), [("note", made)], notes(state, context))
    return Outcome({**update, "memory_version": version}, {**detail, "recap": made.id, "segments": len(segments)})


def _condense(
    state: ReadingState, context: RunContext, reader: Caller, spans: Sequence[Span], following: Span
) -> Record | None:
    """The new recap, made of the old one, a part (the first of ``spans``) and segments; ``None`` for an empty reply.

    Raises:
        BudgetSpent: If the budget has no room for it and for an answer from it and the ``following`` part.
    """
    held, settings = notes(state, context), context.settings
    request = recap_request(context, spans[0], held, spans[1:])
    tokens = 0 if context.budget.tokens is None else _tokens_due(state, context, reader, request, following)
    check_room(context, tokens, 1 + settings.answer)
    text = write(context, reader, [request])[0]
    if not text:
        return None
    model, prompt = reader.model.name, request.template.digest
    return note(context, text, "recapper", spans=spans, parents=held, kind=RecordKind.RECAP, model=model, prompt=prompt)


def _tokens_due(state: ReadingState, context: RunContext, reader: Caller, request: Request, following: Span) -> int:
    """Most tokens of a recap, and of an answer from it and the ``following`` part."""
    settings = context.settings
    tokens: int = sum(reader.model.prompt_tokens([request.prompt])) + settings.recap_tokens
    if not settings.answer:
        return tokens
    shown = reader.model.count_tokens([context.library.documents.text_of(following), state["question"]])
    most = settings.summary_tokens if settings.request == "whole" else settings.max_new_tokens
    tokens += sum(shown) + settings.recap_tokens + _TEMPLATE_TOKENS + most
    return tokens


def recap_request(
    context: RunContext, span: Span, held: Sequence[Record] = (), segments: Sequence[Span] = ()
) -> Request:
    """What is asked to write a recap of a part and of the recap so far."""
    text = context.library.documents.text_of
    earlier: list[Piece] = []
    for segment in segments:
        earlier += [Piece(text(segment), span=segment), Piece("\n\n", trusted=True)]
    if earlier:
        earlier.insert(0, Piece("Earlier passages that the next part goes back to:\n", trusted=True))
    slots: dict[str, SlotValue] = {
        "earlier": tagged(held, "Recap of the text so far:\n"),
        "segments": earlier,
        "text": [Piece(text(span), span=span)],
        "words": words_wanted(context),
    }
    return Request(load("recap"), slots)


def tagged(held: Sequence[Record], heading: str) -> list[Piece]:
    """Recaps between tags under a heading, both of which are ours; nothing if there is no recap."""
    pieces: list[Piece] = []
    for record in held:
        pieces.append(Piece(f"{OPEN}\n", trusted=True))
        pieces.append(Piece(record.content, record=record.id))
        pieces.append(Piece(f"\n{CLOSE}\n", trusted=True))
    return [Piece(heading, trusted=True), *pieces, Piece("\n", trusted=True)] if pieces else []


def words_wanted(context: RunContext) -> list[Piece]:
    """How many words a recap may have, for a prompt."""
    return [Piece(str(max(1, round(context.settings.recap_tokens / _TOKENS_PER_WORD))), trusted=True)]


def write(context: RunContext, reader: Caller, requests: Sequence[Request]) -> list[str]:
    """Recaps, without tags: what closes a recap in a prompt must not stand inside one."""
    settings = context.settings
    sampling = Sampling(settings.recap_tokens, stop=(CLOSE,), seed=settings.seed)
    return [_TAG.sub("", reply.text).strip() for reply in reader.generate(requests, sampling)]


def _segments(state: ReadingState, context: RunContext, span: Span) -> list[Span]:
    """What the words of a part that rest on something far back rest on, in the order of the text."""
    found: set[tuple[int, int]] = set()
    for position, start, _, first, last in state.get("keys", []):
        if context.documents[position].id == span.document_id and span.start <= start < span.end:
            found.add((first, last))
    return [Span(document_id=span.document_id, start=first, end=last) for first, last in sorted(found)]


def answer_recap_cost(settings: Any, facts: Facts) -> StageCost:
    """One call on the recap and the last part."""
    if not settings.answer:
        return StageCost("answer")
    parts, last = _part_counts(settings, facts)
    recap = WRITTEN * settings.recap_tokens if parts > 1 and settings.recaps == "on" else 0
    most = settings.summary_tokens if settings.request == "whole" else settings.max_new_tokens
    read = last + recap + facts.question_tokens + PROMPT_TOKENS
    written = most / 2 if settings.request == "whole" else min(ANSWER_WRITTEN, most)
    return StageCost(
        "answer", (Work("generate", "reader", read, written, 1, most), Work("rest", amount=facts.characters))
    )


@costs(answer_recap_cost)
def answer_recap(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the carried recap and the last part, and find quotes for the answer in what was read."""
    reader, settings = context.need("reader"), context.settings
    parts = blocks(context, reader.model, _tokens(state, context, reader))
    held = notes(state, context)
    last = min(state.get("block", len(parts) - 1), len(parts) - 1)
    sources = parts[: last + 1] if settings.recaps == "on" else parts[last:]
    if not settings.answer:
        return quote_sources(state, context, "\n".join(record.content for record in held), sources)
    made = _answer(state, context, reader, parts[last], held, sources)
    return Outcome({**made.update, "status": "budget_spent"}, made.detail) if state.get("ended") else made


def _answer(
    state: ReadingState,
    context: RunContext,
    reader: Caller,
    part: Span,
    held: Sequence[Record],
    sources: Sequence[Span],
) -> Outcome:
    settings, question = context.settings, state["question"]
    text = Piece(context.library.documents.text_of(part), span=part)
    if settings.request == "whole":
        last = [Piece("The last part of the text:\n", trusted=True), text, Piece("\n\n", trusted=True)]
        return answer_whole(state, context, tagged(held, "Recap of the text:\n"), last, sources)
    earlier = tagged(held, "Recap of the text before:\n")
    request = Request(load("answer_recap"), {"earlier": earlier, "text": [text], "question": question})
    sampling = Sampling(settings.max_new_tokens, stop=("\n",), seed=settings.seed)
    return conclude_with_quotes(state, context, reader.generate([request], sampling)[0], sources)


def answer_whole(
    state: ReadingState,
    context: RunContext,
    recaps: Sequence[Piece],
    text: Sequence[Piece],
    sources: Sequence[Span],
) -> Outcome:
    """Answer a request about whole documents, such as a summary; declined only if nothing was written."""
    settings = context.settings
    slots: dict[str, SlotValue] = {"recaps": recaps, "text": text, "question": state["question"]}
    sampling = Sampling(settings.summary_tokens, seed=settings.seed)
    reply = context.need("reader").generate([Request(load("answer_whole"), slots)], sampling)[0]
    made = conclude_with_quotes(state, context, reply, sources, whole=True)
    return Outcome({**made.update, "status": "answered" if reply.text.strip() else "declined"}, made.detail)
