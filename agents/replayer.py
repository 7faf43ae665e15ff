"""The replayer: what attention found in a text is put before the reader a second time.

Cf. ReContext (arXiv 2607.02509). Where reader and scorer are one model, the text that was looked at is not read again.
"""

from __future__ import annotations

from typing import Any

from rereader.agents.answerer import answer, answer_cost, conclude, parse
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.ledger import in_document_order, quotes
from rereader.agents.replay_plan import plan_of, replay_request, reserve, rounds_due
from rereader.agents.scanner import Window, sentences
from rereader.models.base import Sampling


def goes_on(settings: Any, state: ReadingState) -> bool:
    """Whether another round is due: rounds are left and the last one found something; long texts get one."""
    return bool(state["fresh"]) and state["wave"] < rounds_due(settings, state["windows"])


def replay_cost(settings: Any, facts: Facts) -> StageCost:
    """The reader reads the text with the evidence, or the evidence alone where the text does not fit."""
    cost = answer_cost(settings, facts)
    plan = plan_of(settings)
    window = min(facts.scorer_window, facts.reader_window)
    if "reader" not in facts.bound or not settings.answer or facts.tokens > window - reserve(settings, plan, window):
        return cost
    read = facts.tokens + evidence_tokens(settings) + facts.question_tokens + PROMPT_TOKENS
    written = min(ANSWER_WRITTEN, settings.max_new_tokens)
    works = [work for work in cost.works if work.kind != "generate"]
    return StageCost("answer", (*works, Work("generate", "reader", read, written, 1, settings.max_new_tokens)))


@costs(replay_cost)
def replay(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the text with the evidence replayed, or from the evidence alone where the text does not fit."""
    settings, found = context.settings, quotes(state, context)
    reader = context.caller("reader")
    if reader is None or not settings.answer or not found or state["windows"] != 1:
        return answer(state, context)
    plan = plan_of(settings)
    whole = Window(tuple(sentences(context, reader.model)))
    request = replay_request(context, plan, whole, found, state["question"])
    size = reader.model.prompt_tokens([request.prompt])[0]
    if size + settings.max_new_tokens > reader.model.context_window:
        context.warn(f"The text does not fit the window of {reader.model.name}, which answers from the evidence alone.")
        return answer(state, context)
    sampling = Sampling(max_new_tokens=settings.max_new_tokens, stop=("\n",), seed=settings.seed)
    evidence = in_document_order(context, found)
    draft = parse(reader.generate([request], sampling)[0], evidence, state["question"])
    return conclude(state, context, draft, found, evidence)
