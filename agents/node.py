"""How an agent becomes a node of a graph: its step is numbered, timed, stored and charged."""

from __future__ import annotations

import sys
import time
from typing import Any

import psutil
from langgraph.runtime import Runtime

from rereader.agents.context import Outcome, ReadingState, RunContext, Work
from rereader.agents.costs import Facts, StageCost, cost_of
from rereader.agents.fixing import roles_of
from rereader.memory.runs import Step
from rereader.schema import BudgetSpent, Event, Interrupted, ModelError
from rereader.schema.usage import LOADING, WAITING, difference


class AgentNode:
    """A LangGraph node that does an agent's work.

    It numbers its step, times it, stores it with its model calls, and turns a spent budget into a status that the graph
    routes on; it does the same again after a kill, since all that it writes is keyed by run and step. No function, but
    an object that can be called: LangGraph searches everything that a function reaches for graphs within it, which
    takes longer than all else when a graph is compiled, and is done anew for every run.

    Args:
        name: The node's name.
        work: What the agent does.
    """

    def __init__(self, name: str, work: Work) -> None:
        self.__name__ = name
        self.cost = cost_of(work)
        self.made_with = roles_of(work)
        self._work = work

    def __call__(self, state: ReadingState, *, runtime: Runtime[RunContext]) -> dict[str, Any]:
        """Do the agent's work and return what changes in the state."""
        context = runtime.context
        number = state.get("step", 0) + 1
        context.step = number
        context.log.calls.clear()
        context.log.done.clear()
        if context.cancel.is_set():
            raise Interrupted("Interrupted.", context.resume_hint)
        context.listen(Event("step", context.run_id, number, node=self.__name__))
        before = context.usage.model_copy(deep=True)
        context.take_up()
        warned = len(context.warnings) if number > 1 else 0  # the first step keeps what was said before it
        started, clock = time.time(), time.monotonic()
        waiting, loading = context.models.waited, context.models.loading
        try:
            outcome = self._work(state, context)
        except Interrupted as error:  # a model knows of no run
            raise Interrupted(error.message, context.resume_hint) from error
        except ModelError as error:
            raise _resumable(error, context) from error
        except BudgetSpent as error:
            context.warn(str(error))
            outcome = Outcome({"status": "budget_spent"}, {"stopped": error.message})
        seconds, waited = time.monotonic() - clock, context.models.waited - waiting
        work_done = context.worked(clock, seconds, waited, loading)
        detail = {**outcome.detail, "warnings": context.warnings[warned:], "work": work_done}
        if number == 1 and context.estimate:
            detail["estimate"] = dict(context.estimate)
        loaded = min(seconds - waited, sum(part["seconds"] for part in work_done if part["kind"] == "load"))
        for stage, spent in ((self.__name__, seconds - waited - loaded), (WAITING, waited), (LOADING, loaded)):
            context.usage.add_seconds(stage, spent)
        context.usage.peak_host_bytes = max(context.usage.peak_host_bytes, peak_memory())
        version = outcome.update.get("memory_version", state.get("memory_version", 0))
        step = Step(
            number=number,
            node=self.__name__,
            started_at=started,
            seconds=seconds,
            memory_version=version,
            detail=detail,
            usage=difference(context.usage, before),
            calls=tuple(context.log.calls),
        )
        context.library.runs.add_step(context.run_id, step, context.usage, outcome.answer)
        return {**outcome.update, "step": number}


def _resumable(error: ModelError, context: RunContext) -> ModelError:
    """The same error, which also says how to go on if there is something to go on from."""
    if not context.usage.calls:
        return error
    kept = f"What is finished is kept: rereader show {context.run_id}"
    return ModelError(error.message, f"{error.hint} {kept}. {context.resume_hint}".strip())


def stage_cost(runnable: Any, settings: Any, facts: Facts) -> StageCost:
    """What a graph's node costs, by what its agent declares; a node of another making is taken to cost nothing."""
    cost = cost_of(getattr(runnable, "func", runnable))
    return cost(settings, facts) if cost else StageCost("")


def peak_memory() -> int:
    """Most bytes of main memory that this process has held so far, and what a model's process holds now."""
    return _own_peak() + sum(_held_by(child) for child in psutil.Process().children())


def _held_by(child: psutil.Process) -> int:
    try:
        return int(child.memory_info().rss)
    except psutil.Error:  # it has ended meanwhile
        return 0


def _own_peak() -> int:
    info = psutil.Process().memory_info()
    on_windows: int | None = getattr(info, "peak_wset", None)
    if on_windows is not None:
        return on_windows
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
