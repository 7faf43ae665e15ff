"""The note answerer: writes the answer from what was noted while reading, and from nothing else."""

from __future__ import annotations

from typing import Any

from rereader.agents.calls import Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.notes import NOTHING_YET, WRITTEN, notes, shown
from rereader.agents.quoter import conclude_with_quotes, quote_sources, sources_of
from rereader.models.base import Sampling
from rereader.prompts.loader import SlotValue, load


def answer_memory_cost(settings: Any, facts: Facts) -> StageCost:
    """One call on the memory alone."""
    if not settings.answer:
        return StageCost("answer")
    read = WRITTEN + facts.question_tokens + PROMPT_TOKENS
    written = min(ANSWER_WRITTEN, settings.max_new_tokens)
    works = (
        Work("generate", "reader", read, written, 1, settings.max_new_tokens),
        Work("rest", amount=facts.characters),
    )
    return StageCost("answer", works)


@costs(answer_memory_cost)
def answer_memory(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the memory alone, and find quotes for the answer where the memory came from."""
    held, settings = notes(state, context), context.settings
    sources = sources_of(context, held)
    if not settings.answer:
        return quote_sources(state, context, "\n".join(record.content for record in held), sources)
    slots: dict[str, SlotValue] = {"question": state["question"], "memory": shown(held, NOTHING_YET)}
    sampling = Sampling(settings.max_new_tokens, stop=("\n",), seed=settings.seed)
    reply = context.need("reader").generate([Request(load("answer_memory"), slots)], sampling)[0]
    made = conclude_with_quotes(state, context, reply, sources)
    return Outcome({**made.update, "status": "budget_spent"}, made.detail) if state.get("ended") else made
