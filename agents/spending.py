"""What to do when the budget runs out before the answer: tell in time, and end with what can be had for nothing."""

from __future__ import annotations

from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.quoter import quote_sources
from rereader.schema import BudgetMeter, BudgetSpent, Span


def check_room(context: RunContext, tokens: int, calls: int) -> None:
    """Make sure that the budget has room for so many more tokens and calls; sets none of them aside.

    Raises:
        BudgetSpent: If it has not.
    """
    spent = context.meter
    meter = BudgetMeter(context.budget, spent_tokens=spent.tokens, spent_calls=spent.calls, spent_seconds=spent.seconds)
    meter.reserve(tokens=tokens, calls=calls)


def end_with_quotes(state: ReadingState, context: RunContext, error: BudgetSpent, draft: str = "") -> Outcome:
    """End the run: a search of the documents, which costs no model call, quotes what fits the question best.

    Args:
        state: The state.
        context: The run.
        error: What says that the budget is spent.
        draft: The answer so far.
    """
    context.warn(str(error))
    whole = [Span(document_id=document.id, start=0, end=document.length) for document in context.documents]
    made = quote_sources(state, context, "", whole)
    detail = {**made.detail, "draft": draft, "stopped": error.message}
    return Outcome({**made.update, "status": "budget_spent"}, detail)
