"""Nodes of a recursive run: the root model plans a turn and the turn is done, until there is a reason to stop.

After Recursive Language Models (arXiv 2512.24601). ``mode=code`` has nodes of its own (:mod:`rereader.agents.coder`).
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from rereader.agents.actor import MOST_ERRORS, Done, do
from rereader.agents.authors import PLANNER, ROOT
from rereader.agents.coder import code_cost, plan_code, run_code
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.context import Work as NodeWork
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.desk import desk_of
from rereader.agents.planner import LINE_TOKENS, decide
from rereader.agents.quoter import quote_sources
from rereader.agents.sources import found_places
from rereader.agents.subreader import Bench, Tally
from rereader.schema import BudgetSpent

_ROOT_TOKENS = 700
"""Tokens of the root model's prompt that are expected."""
_LINE_WRITTEN = 24
NOTE_WRITTEN = 30
ANSWERED = "answer"


def plan_cost(settings: Any, facts: Facts) -> StageCost:
    """At most a call or two a turn, of a prompt whose length does not depend on the text's."""
    turns, code = settings.turns, settings.mode == "code"
    if "reader" not in facts.bound:
        return StageCost("plan", turns=turns)
    calls = turns * (2 if settings.plan == "choose" and not code else 1)
    written, most = code_cost(settings) if code else (_LINE_WRITTEN, LINE_TOKENS)
    read = calls * (_ROOT_TOKENS + facts.question_tokens)
    work = Work("generate", "reader", read / 2, turns * written / 2, calls, turns * most)
    return StageCost("plan", (work,), turns=turns)


def act_cost(settings: Any, facts: Facts) -> StageCost:
    """At most ``sub_calls`` calls; the text is expected to be read once, as far as they reach."""
    if "reader" not in facts.bound:
        return StageCost("act", turns=settings.turns)
    parts = max(1, min(settings.sub_calls, round(facts.tokens / settings.part_tokens)))
    read = min(facts.tokens, settings.sub_calls * settings.part_tokens)
    read += parts * (facts.question_tokens + 2 * PROMPT_TOKENS)
    most = settings.sub_calls * settings.sub_tokens
    work = Work("generate", "reader", read, parts * NOTE_WRITTEN, settings.sub_calls, most)
    return StageCost("act", (Work("rest", amount=facts.characters), work), turns=settings.turns)


def best_so_far(work: NodeWork) -> NodeWork:
    """Let a node whose budget is spent end with quotes of what was found."""

    @wraps(work)
    def run(state: ReadingState, context: RunContext) -> Outcome:
        try:
            return work(state, context)
        except BudgetSpent as error:
            context.warn(str(error))
            said, places = found_places(state, context)
            made = quote_sources(state, context, said, places)
            detail = {key: value for key, value in made.detail.items() if key == "scores"}
            return Outcome({**made.update, "status": "budget_spent"}, {**detail, "stopped": error.message})

    return run


@costs(plan_cost)
@best_so_far
def plan(state: ReadingState, context: RunContext) -> Outcome:
    """Node: the root model writes the next action, or the next block of code."""
    turn = state.get("turn", 0) + 1
    bench = bench_of(state, context)
    turns = context.settings.turns
    line = plan_code(bench, turn, turns) if context.settings.mode == "code" else decide(bench, turn, turns)
    record = bench.keep(line, PLANNER)
    version = context.memory.write(state.get("memory_version", 0), [("desk", record)])
    return Outcome({"memory_version": version, "turn": turn}, {"turn": turn, "wrote": record.id})


@costs(act_cost)
@best_so_far
def act(state: ReadingState, context: RunContext) -> Outcome:
    """Node: do what the root model wrote."""
    bench = bench_of(state, context)
    line = bench.desk.turns[-1].wrote.content
    with context.log.stopping():
        done = run_code(bench) if context.settings.mode == "code" else do(bench, line)
    if done.answer is not None and not done.unfilled:
        bench.keep(done.answer, ROOT)
    errors = state.get("errors", 0) + 1 if done.error else 0
    version = context.memory.write(state.get("memory_version", 0), [("desk", record) for record in bench.records])
    used, before = bench.tally.used, state.get("sub_calls", 0)
    ending = ending_of(done, errors, state["turn"], context.settings.turns)
    update = {"memory_version": version, "errors": errors, "sub_calls": used, "ending": ending}
    detail = {"action": done.kind, "error": done.error, "sub_calls": used - before, "told": done.told.id}
    return Outcome(update, detail)


def bench_of(state: ReadingState, context: RunContext) -> Bench:
    """What a node works on, as the state and the ledger have it."""
    return Bench(context, state["question"], desk_of(state, context), tally=Tally(state.get("sub_calls", 0)))


def ending_of(done: Done, errors: int, turn: int, turns: int) -> str:
    """Why the loop ends here; empty if it goes on."""
    if done.unfilled:
        return "an empty answer"
    if done.answer is not None:
        return ANSWERED
    if errors >= MOST_ERRORS:
        return f"{errors} errors in a row"
    return f"no answer in {turns} turns" if turn >= turns else ""


def goes_on(state: ReadingState) -> str:
    """The node after a turn."""
    return "answer" if state["ending"] else "plan"
