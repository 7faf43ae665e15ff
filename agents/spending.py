"""What to do when the budget runs out before the answer: tell in time, and end with what there is so far."""

from __future__ import annotations

from rereader.agents.context import Outcome, RunContext
from rereader.schema import BudgetMeter, BudgetSpent


def check_room(context: RunContext, tokens: int, calls: int) -> None:
    """Make sure that the budget has room for so many more tokens and calls; sets none of them aside.

    Raises:
        BudgetSpent: If it has not.
    """
    spent = context.meter
    meter = BudgetMeter(context.budget, spent_tokens=spent.tokens, spent_calls=spent.calls, spent_seconds=spent.seconds)
    meter.reserve(tokens=tokens, calls=calls)


def end_with_draft(context: RunContext, error: BudgetSpent, draft: str) -> Outcome:
    """End the run with the answer so far; the finisher finds quotes, which costs no model call."""
    context.warn(str(error))
    return Outcome({"status": "budget_spent"}, {"draft": draft, "cited": [], "stopped": error.message})
