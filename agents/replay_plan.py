"""What a preset of evidence replay comes to: rounds, cues, room for evidence, and the prompt that is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from rereader.agents.calls import Request
from rereader.agents.context import RunContext
from rereader.agents.costs import TOKENS_PER_WORD
from rereader.agents.ledger import in_document_order
from rereader.agents.scanner import Window
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import Record
from rereader.tools.attended import Cue

_MARGIN = 256
"""Tokens set aside for the template."""
_SENTENCE_TOKENS = 48
"""Tokens of a sentence, when room for sentences is set aside."""
_PER_WORD = 1.5 * TOKENS_PER_WORD
"""Tokens of a word, when room for words is set aside."""


@dataclass(frozen=True)
class Plan:
    """What a preset comes to.

    Args:
        rounds: Most rounds.
        count: Sentences to take in a round; 0 takes those that stand out.
        cue: Which tokens look.
        calibrated: Whether what an empty question looks at is subtracted.
        before: Whether evidence stands before the text instead of after it.
        lead: What is said before the evidence.
    """

    rounds: int
    count: int
    cue: Cue
    calibrated: bool
    before: bool = False
    lead: str = ""


PLANS = {
    "default": Plan(2, 0, Cue(), calibrated=True, lead="Passages of the text that may matter:\n"),
    "paper": Plan(3, 8, Cue(last=8), calibrated=False),
    "last-layer": Plan(3, 128, Cue(last=8), calibrated=False, before=True),
}


def rounds_due(settings: Any, windows: int) -> int:
    """Most rounds over a text in so many windows: a long text is looked at once unless more is asked for."""
    return plan_of(settings).rounds if windows <= 1 or settings.rounds else 1


def plan_of(settings: Any) -> Plan:
    """A preset with what the settings say otherwise."""
    plan = PLANS[settings.preset]
    return replace(plan, rounds=settings.rounds or plan.rounds, count=settings.sentences or plan.count)


def reserve(settings: Any, plan: Plan, window: int) -> int:
    """Tokens of the window that are kept free: for the template, the evidence and the answer."""
    wanted = plan.rounds * plan.count * _SENTENCE_TOKENS if plan.count else round(settings.evidence_words * _PER_WORD)
    return _MARGIN + int(settings.max_new_tokens) + min(wanted, window // 4)


def replay_request(context: RunContext, plan: Plan, window: Window, held: Sequence[Record], question: str) -> Request:
    """The text, the evidence so far beside it, and the question."""
    document, _ = window.pieces()
    evidence = _evidence(context, plan, held)
    before, after = (evidence, []) if plan.before else ([], evidence)
    slots: dict[str, SlotValue] = {"before": before, "document": document, "evidence": after, "question": question}
    return Request(load("replay"), slots)


def _evidence(context: RunContext, plan: Plan, held: Sequence[Record]) -> list[Piece]:
    """Evidence in blocks, a round each, in the text's order; what stands after the text is kept for the next round."""
    pieces = [Piece(plan.lead, trusted=True)] if held and plan.lead else []
    for _, block in groupby(held, key=lambda record: record.step):
        for record in in_document_order(context, list(block)):
            pieces += [Piece(record.content, span=record.spans[0], record=record.id), Piece("\n", trusted=True)]
        pieces[-1] = replace(pieces[-1], cacheable=not plan.before)
    return [*pieces, Piece("\n", trusted=True)] if pieces else []
