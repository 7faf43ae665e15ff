"""One graph of a comparison: its run, what that took, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from rereader.graphs.registry import get_graph
from rereader.memory.runs import Run, Step
from rereader.models.base import Cancel
from rereader.runs.session import Listen, Session
from rereader.runs.systems import System
from rereader.schema import Answer, Budget, Event, InputError, Interrupted, RereaderError, StoreError, Usage

INGEST = ("chunk", "compress", "gist", "index")
"""Stages that make what is kept of a document, whatever is asked; graphs that have them call them so."""


@dataclass(frozen=True)
class Failure:
    """Why a graph has no answer."""

    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True)
class Row:
    """What a graph made of the question.

    Args:
        system: The graph and its settings.
        after: What the graph is after.
        honesty: How close it is to that.
        run: The run; ``None`` if it failed before it began.
        wall_seconds: From asking to the answer.
        load_seconds: How much of that models took to load.
        stages: Seconds by stage in the order of the first turns, without the loading of models.
        failure: Why there is no answer.
    """

    system: System
    after: str
    honesty: str
    run: Run | None
    wall_seconds: float
    load_seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def answer(self) -> Answer | None:
        """The answer, if there is one."""
        return self.run.answer if self.run else None

    @property
    def usage(self) -> Usage:
        """What the run has cost; of a failed one, up to its last finished step."""
        return self.answer.usage if self.answer else self.run.usage if self.run else Usage()

    @property
    def status(self) -> str:
        """The answer's status, or ``failed``."""
        return self.answer.status if self.answer else "failed"

    @property
    def seconds(self) -> float:
        """Seconds without the loading of models."""
        return max(0.0, self.wall_seconds - self.load_seconds)

    @property
    def ingest_seconds(self) -> float:
        """Seconds of chunking, compressing and embedding the documents."""
        return sum(self.stages.get(name, 0.0) for name in INGEST)

    def as_json(self, *, kept: bool) -> dict[str, Any]:
        """JSON-plain; ``kept`` tells whether the workspace holds the run."""
        failure = self.failure
        return {
            "system": self.system.name,
            "graph": self.system.graph,
            "settings": dict(self.system.settings),
            "after": self.after,
            "honesty": self.honesty,
            "status": self.status,
            "run_id": self.run.id if self.run and kept else None,
            "wall_seconds": round(self.wall_seconds, 3),
            "load_seconds": round(self.load_seconds, 3),
            "ingest_seconds": round(self.ingest_seconds, 3),
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
            "usage": self.usage.model_dump(mode="json"),
            "answer": self.answer.model_dump(mode="json") if self.answer else None,
            "error": vars(failure) if failure else None,
        }


def ask_system(
    session: Session,
    system: System,
    question: str,
    document_ids: Sequence[str],
    *,
    budget: Budget,
    listen: Listen,
    cancel: Cancel | None,
) -> Row:
    """Put the question to one graph; what goes wrong in it becomes part of the row.

    Raises:
        Interrupted: If ``cancel`` was set.
        StoreError: If the workspace cannot be used; no other graph could use it either.
    """
    heard = _Heard(listen)
    loads, loading, failure = len(session.models.loads), sum(session.models.loading.values()), None
    began = perf_counter()
    try:
        session.ask(
            question,
            document_ids,
            graph=system.graph,
            settings=system.settings,
            budget=budget,
            listen=heard,
            cancel=cancel,
        )
    except (Interrupted, StoreError):
        raise
    except Exception as error:  # a graph in the making must not cost the others their answers
        failure = failure_of(error)
    seconds = perf_counter() - began
    runs = session.library.runs
    graph = get_graph(system.graph)
    return Row(
        system=system,
        after=graph.system,
        honesty=_label(system),
        run=runs.get(heard.run_id) if heard.run_id else None,
        wall_seconds=seconds,
        load_seconds=sum(load for _, _, load in session.models.loads[loads:])
        + sum(session.models.loading.values())
        - loading,
        stages=stage_seconds(runs.steps(heard.run_id)),
        failure=failure,
    )


def failed(system: System, failure: Failure) -> Row:
    """The row of a graph that did not begin."""
    return Row(system, get_graph(system.graph).system, _label(system), None, 0.0, failure=failure)


def _label(system: System) -> str:
    graph = get_graph(system.graph)
    try:
        return graph.label(graph.settings(system.settings))
    except InputError:  # settings that do not fit have failed the graph already
        return graph.honesty


def failure_of(error: Exception) -> Failure:
    """An error as part of a row."""
    if isinstance(error, RereaderError):
        return Failure(error.message, error.hint, error.exit_code)
    return Failure(f"Internal error: {type(error).__name__}: {error}", "", 1)


def stage_seconds(steps: Sequence[Step]) -> dict[str, float]:
    """Seconds by stage, without those in which models were loaded or waited."""
    found: dict[str, float] = {}
    for step in steps:
        found[step.node] = found.get(step.node, 0.0) + step.usage.seconds.get(step.node, 0.0)
    return found


class _Heard:
    """Passes events on and remembers which run they are of, since a run that fails returns nothing."""

    def __init__(self, listen: Callable[[Event], None]) -> None:
        self.run_id = ""
        self._listen = listen

    def __call__(self, event: Event) -> None:
        self.run_id = event.run_id or self.run_id
        self._listen(event)
