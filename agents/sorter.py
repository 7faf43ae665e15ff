"""The sorter: how much of the text does a question need?

What one place says needs a search and no more: following what it quotes only leads away. What must be put together from
several places needs waves. What only the whole text says (a summary, its themes) is found by no search.
"""

from __future__ import annotations

import math
from typing import Any

from rereader.agents.calls import Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.prompts.loader import load

KINDS = ("local", "several", "whole")
LETTERS = ("A", "B", "C")
_SAFE = "several"
"""What a question is taken for when nobody can tell: it finds what one place says, too."""
_SURE = 0.5
"""Probability above which a question is about the whole, since reading all of a text costs a hundred times as much.

The 1.5B reader gave at most 0.43 to 48 development questions that a few places answer, and 0.36 to 0.90 to 15 requests
about the whole (docs/results/kinds-dev.jsonl).
"""


def sort_cost(settings: Any, facts: Facts) -> StageCost:
    """One look at the question, unless its kind is given."""
    if settings.kind != "auto" or "reader" not in facts.bound:
        return StageCost("sort")
    return StageCost("sort", (Work("score", "reader", facts.question_tokens + 2 * PROMPT_TOKENS, calls=1),))


@costs(sort_cost)
def sort(state: ReadingState, context: RunContext) -> Outcome:
    """Node: tell the kind of the question, or take the one that is given."""
    wanted = context.settings.kind
    kind, scores = (wanted, {}) if wanted != "auto" else _told(state["question"], context)
    if kind == "whole" and context.caller("reader") is None:
        context.warn("There is no reader to sum up the whole text; the question is searched for instead.")
        kind = _SAFE
    return Outcome({"kind": kind}, {"kind": kind, "forced": wanted != "auto", "scores_by_kind": scores})


def _told(question: str, context: RunContext) -> tuple[str, dict[str, float]]:
    """Whether the reader says that the whole text is needed; small ones cannot tell one place from several."""
    reader = context.caller("reader")
    if reader is None or not reader.model.capabilities.choose:
        return _SAFE, {}
    row = reader.choose([Request(load("kind"), {"question": question})], LETTERS)[0]
    scores = {kind: round(float(value), 4) for kind, value in zip(KINDS, row, strict=True)}
    return ("whole" if scores["whole"] > math.log(_SURE) else _SAFE), scores
