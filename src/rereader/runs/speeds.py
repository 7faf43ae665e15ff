"""How long work takes here: by what the workspace's runs took, else by measurement, else by a guess that says so."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from rereader.agents.costs import Work
from rereader.models.speed import Speed

Source = Literal["runs", "measured", "guess"]
_NEWEST = 9
"""Past pieces of work that a median is taken of."""
_NEAR = 4.0
"""Work of up to so many times the size, or a fraction, counts as like."""
_CALL_SECONDS = 0.03
"""What any model call takes beside its tokens."""
_TURN_SECONDS = 0.006
"""What a node takes that does nothing."""
_REST_PER_CHARACTER = 6e-8
_CUT_PER_CHARACTER = 1.2e-6
_EXTRACT_PER_TOKEN = 5e-6


@dataclass(frozen=True)
class Plain:
    """Seconds of work that no model does: per character cut, per token extracted."""

    cut: float = _CUT_PER_CHARACTER
    extract: float = _EXTRACT_PER_TOKEN
    measured: bool = False


@dataclass(frozen=True)
class Past:
    """A piece of work that a run of this workspace did."""

    stage: str
    kind: str
    model: str
    seconds: float
    amount: float
    written: float
    calls: int


def pasts(details: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Past]:
    """The work written down in the details of steps, given as ``(node, detail)``, newest first."""
    return [Past(node, **row) for node, detail in details for row in detail.get("work", [])]


class Speeds:
    """Seconds of work on this machine.

    Args:
        history: What runs did, newest first.
        known: Name of a model -> what is known of its speed.
        plain: Rates of work that no model does.
    """

    def __init__(self, history: Sequence[Past], known: Callable[[str], Speed], plain: Plain | None = None) -> None:
        self._history = history
        self._known = known
        self._plain = plain or Plain()

    @cached_property
    def _by_model(self) -> dict[tuple[str, str], list[Past]]:
        found: dict[tuple[str, str], list[Past]] = {}
        for past in self._history:
            found.setdefault((past.kind, past.model), []).append(past)
        return found

    def seconds(self, stage: str, work: Work, model: str, turns: int = 1) -> tuple[float, Source]:
        """Seconds that a stage's work will take, and where that comes from.

        Known rates give the shape (a prompt twice as long takes twice as long, and more), the median of like work in
        the past its scale.
        """
        expected = self._expected(work.kind, model, work.amount, self.written(stage, work, model), work.calls, turns)
        if not expected:
            return 0.0, "runs"
        alike = self._alike(stage, work.kind, model, work.amount / turns if work.kind == "rest" else work.amount)
        if not alike:
            return expected, self._source(work.kind, model)
        factor = statistics.median(
            past.seconds / self._expected(past.kind, model, past.amount, past.written, past.calls, 1) for past in alike
        )
        return factor * expected, "runs"

    def written(self, stage: str, work: Work, model: str) -> float:
        """Tokens that will be written: as many a call as the stage's past calls wrote, at most what is allowed."""
        if not work.calls:
            return work.written
        found = [past for past in self._by_model.get((work.kind, model), []) if past.stage == stage and past.calls]
        if not found:
            return work.written
        mean = statistics.median(past.written / past.calls for past in found[:_NEWEST])
        return min(mean * work.calls, work.most_written or math.inf)

    def load(self, model: str) -> tuple[float, Source]:
        """Seconds to load a model: to open it, and what its first call loads then."""
        past = self._by_model.get(("load", model), [])
        opened, called = [one for one in past if not one.calls], [one for one in past if one.calls]
        if past:
            parts = [[one.seconds for one in found[:_NEWEST]] for found in (opened, called) if found]
            return sum(map(statistics.median, parts)), "runs"
        known = self._known(model)
        return known.load, "guess" if known.source == "guess" else "measured"

    def _alike(self, stage: str, kind: str, model: str, amount: float) -> list[Past]:
        """Past work to go by: of the same stage and like size if there is any, else of either."""
        every = [past for past in self._by_model.get((kind, model), []) if past.amount > 0]
        if kind == "rest":
            every = [past for past in every if past.stage == stage]
        near = [past for past in every if 1 / _NEAR <= past.amount / max(amount, 1e-9) <= _NEAR]
        both = [past for past in near if past.stage == stage]
        same = [past for past in every if past.stage == stage]
        return (both or near or same or every)[:_NEWEST]

    def _expected(self, kind: str, model: str, amount: float, written: float, calls: int, turns: int) -> float:
        if kind == "rest":
            return turns * _TURN_SECONDS + amount * _REST_PER_CHARACTER * turns
        if not amount:
            return 0.0
        if kind in ("cut", "extract"):
            return amount * (self._plain.cut if kind == "cut" else self._plain.extract) + _TURN_SECONDS
        speed = self._known(model)
        if kind == "embed":  # in windows, each as short as the next
            return _CALL_SECONDS + amount / speed.read
        return _CALL_SECONDS + speed.read_seconds(amount, calls) + speed.write_seconds(written, calls)

    def _source(self, kind: str, model: str) -> Source:
        if kind in ("cut", "extract"):
            return "measured" if self._plain.measured else "guess"
        return "guess" if kind == "rest" or self._known(model).source == "guess" else "measured"
