"""The whole-text reader: everything in one prompt, the middle left out when it does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rereader.agents.calls import Caller, Request
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.memory.working import Slot
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, load
from rereader.schema import Chunk, InputError, Record, RecordKind, Span
from rereader.tools.quotes import find_quotes

_MARGIN = 256
"""Tokens set aside for the template and the question."""


@dataclass(frozen=True)
class Shown:
    """The parts of the documents that fit, in order, and whether anything was left out."""

    spans: tuple[Span, ...]
    truncated: bool


def read_all_cost(settings: Any, facts: Facts) -> StageCost:
    """One prompt of what fits the reader's window."""
    if not settings.answer or "reader" not in facts.bound:
        return StageCost("read")
    window = min(facts.reader_window, settings.window_tokens or facts.reader_window)
    room = window - settings.max_new_tokens - _MARGIN - facts.question_tokens
    shown = 0 if settings.context == "none" else max(0, min(facts.tokens, room))
    read = shown + facts.question_tokens + PROMPT_TOKENS
    written = min(ANSWER_WRITTEN, settings.max_new_tokens)
    return StageCost("read", (Work("generate", "reader", read, written, 1, settings.max_new_tokens),))


@costs(read_all_cost)
@made_with("reader")
def read_all(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the whole text, or from no text at all (the control ``context=none``)."""
    settings = context.settings
    if not settings.answer:
        return Outcome({"status": "answered"}, {"draft": "", "cited": []})
    reader = context.need("reader")
    question = state["question"]
    sampling = Sampling(max_new_tokens=settings.max_new_tokens, stop=("\n",), seed=settings.seed)
    if settings.context == "none":
        request = Request(load("answer_closed"), {"question": question})
        shown = Shown((), False)
    else:
        shown = fit(context, reader, question)
        if not shown.spans:
            msg = f"Nothing of the text fits a prompt of {reader.model.name} beside the question."
            raise InputError(msg, "Raise window_tokens, lower max_new_tokens, or choose a reader with a larger window.")
        if shown.truncated:
            context.warn("The text does not fit the window; its middle was left out.")
        pieces = [Piece(context.library.documents.text_of(span), span=span) for span in shown.spans]
        request = Request(load("answer_text"), {"document": pieces, "question": question})
    reply = reader.generate([request], sampling)[0].text.strip()
    return _remember(state, context, reply, shown)


def fit(context: RunContext, reader: Caller, question: str) -> Shown:
    """Head and tail of the documents, in whole chunks, that fit the reader's window together."""
    window = reader.model.context_window
    if context.settings.window_tokens:
        window = min(window, context.settings.window_tokens)
    room = window - context.settings.max_new_tokens - _MARGIN - sum(reader.model.count_tokens([question]))
    chunks = [c for d in context.documents for c in context.library.chunks.range(ensure_chunks(context, d))]
    if sum(chunk.token_count for chunk in chunks) <= room:
        return Shown(tuple(chunk.span for chunk in chunks), False)
    head = _take(chunks, room // 2)
    tail = _take(chunks[len(head) :][::-1], room - sum(c.token_count for c in head))[::-1]
    return Shown(tuple(chunk.span for chunk in [*head, *tail]), True)


def _take(chunks: list[Chunk], room: int) -> list[Chunk]:
    taken: list[Chunk] = []
    for chunk in chunks:
        room -= chunk.token_count
        if room < 0:
            break
        taken.append(chunk)
    return taken


def _remember(state: ReadingState, context: RunContext, reply: str, shown: Shown) -> Outcome:
    passages = [(span, context.library.documents.text_of(span)) for span in shown.spans]
    quote = find_quotes([reply], passages)[0] if passages and reply else None
    found = (
        [
            Record.create(
                run_id=context.run_id,
                kind=RecordKind.QUOTE,
                content=quote.text,
                agent="whole_text",
                spans=[quote.span],
                step=context.step,
            )
        ]
        if quote
        else []
    )
    draft = Record.create(
        run_id=context.run_id,
        kind=RecordKind.NOTE,
        content=reply,
        agent="whole_text",
        parents=[record.id for record in found],
        step=context.step,
        ordinal=1,
    )
    entries: list[tuple[Slot, Record]] = [("quote", record) for record in found]
    version = context.memory.write(state.get("memory_version", 0), [*entries, ("draft", draft)])
    detail = {
        "draft": reply,
        "cited": [record.id for record in found],
        "truncated": shown.truncated,
        "matches": {record.id: quote.match.value for record in found if quote},
    }
    return Outcome({"status": "answered" if reply else "declined", "memory_version": version}, detail)
