"""Kills a command again and again, lets it go on, and compares what comes of it with a run that nobody harmed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rereader.testing.soak.children import Children, Ended, Moment
from rereader.testing.soak.snapshots import Rows, calls, differing, kept, lost, opened_copy, outcome, problems

BATCH = 64
"""Most calls that one batch of an agent has; so many may be made again after a kill."""


class Case(Protocol):
    """Something that can be killed and gone on with."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def rereads(self) -> bool:
        """Whether a process that goes on reads again, and is charged for, what the killed one had in memory."""

    def prepare(self, folder: Path, children: Children) -> None:
        """Make what must be there before, unharmed; the workspace is ``folder / "workspace"``."""

    def command(self, folder: Path) -> list[str]:
        """The command that begins the work, or goes on with what lies in the folder."""

    def outcome(self, folder: Path) -> dict[str, Any]:
        """What must be the same as without a kill, besides what :func:`outcome` finds in the workspace."""


@dataclass
class Tally:
    """What came of a case.

    Args:
        case: Its name.
        kills: Kills that it survived.
        losses: What was lost, changed, repeated, damaged or different; nothing should be.
        repeated: Model calls that were under way when a kill came, and were made again.
    """

    case: str
    kills: int = 0
    losses: list[str] = field(default_factory=list)
    repeated: int = 0


Requests = Callable[[], int]
"""How many model calls were made so far, as who answers them counts."""


def no_requests() -> int:
    """Nobody counts."""
    return 0


class Killing:
    """One case under one seed.

    Args:
        case: What is killed.
        children: Runs it.
        folder: Where it works; one of its own.
        requests: Counts the model calls.
    """

    def __init__(self, case: Case, children: Children, folder: Path, requests: Requests = no_requests) -> None:
        self._case, self._children, self._folder, self._requests = case, children, folder, requests
        self._whole, self._harmed = folder / "whole", folder / "harmed"
        self.tally = Tally(case.name)

    def run(self, seed: int, kills: int) -> Tally:
        """Kill it up to ``kills`` times at moments that the seed draws, then let it end, and compare."""
        self._case.prepare(self._whole, self._children)
        shutil.copytree(self._whole, self._harmed)
        unharmed = self._finish(self._whole)
        rng = random.Random(f"{self._case.name} {seed}")
        held: Rows | None = {}
        while held is not None:
            last = self.tally.kills >= kills
            held = self._go_on(Moment() if last else _draw(rng, unharmed), held)
        if self.tally.losses:
            return self.tally  # what did not come to its end cannot be compared
        found = [self._outcome(folder) for folder in (self._whole, self._harmed)]
        self.tally.losses += [f"other {name} than without kills" for name in differing(*found)]
        return self.tally

    def _go_on(self, moment: Moment, held: Rows) -> Rows | None:
        """Work until the moment; returns what is kept then, or ``None`` if the work was done before."""
        ended, made, stored = self._attempt(moment)
        if not ended.killed:
            self._expect_success(ended, self._harmed)
            self._expect(made == stored, f"{made - stored} finished calls were made again")
            return None
        self.tally.kills += 1
        self.tally.repeated += made - stored
        self._expect(made - stored <= BATCH, f"{made - stored} calls were lost by one kill ({moment})")
        if not self._has_library():
            return held
        with opened_copy(self._harmed / "workspace") as library:
            now = kept(library)
            self.tally.losses += [f"{what} ({moment})" for what in (*problems(library), *lost(held, now))]
        return now

    def _attempt(self, moment: Moment) -> tuple[Ended, int, int]:
        """Run until the moment: how it ended, the calls that were made, and those of them that were stored."""
        before, stored = self._requests(), self._stored()
        ended = self._children.run(self._case.command(self._harmed), moment)
        made = self._requests() - before
        return ended, made, self._stored() - stored if made else 0

    def _stored(self) -> int:
        if not self._has_library():
            return 0
        with opened_copy(self._harmed / "workspace") as library:
            return len(calls(library))

    def _has_library(self) -> bool:
        return (self._harmed / "workspace" / "library.db").exists()

    def _outcome(self, folder: Path) -> dict[str, Any]:
        with opened_copy(folder / "workspace") as library:
            self.tally.losses += problems(library)
            return {**outcome(library, rereads=self._case.rereads), **self._case.outcome(folder)}

    def _finish(self, folder: Path) -> Ended:
        ended = self._children.run(self._case.command(folder))
        self._expect_success(ended, folder)
        return ended

    def _expect_success(self, ended: Ended, folder: Path) -> None:
        said = ended.err.strip().splitlines()
        self._expect(ended.code in (0, 4), f"exit code {ended.code} in {folder.name}: {said[-1] if said else ''}")

    def _expect(self, held: bool, otherwise: str) -> None:
        if not held:
            self.tally.losses.append(otherwise)


def _draw(rng: random.Random, unharmed: Ended) -> Moment:
    """A time, or an access to the store, somewhere in the unharmed run."""
    if rng.random() < 0.5 and unharmed.accesses:
        return Moment(access=rng.randint(1, unharmed.accesses))
    return Moment(seconds=rng.uniform(0.0, unharmed.seconds))


def kill_all(
    cases: Sequence[Case], children: Children, folder: Path, seeds: Sequence[int], kills: int, requests: Requests
) -> Iterator[Tally]:
    """Every case under every seed; a case leaves its folder behind only if something was lost.

    Args:
        cases: What is killed.
        children: Runs them.
        folder: Where they work.
        seeds: What the moments are drawn by.
        kills: Most kills of a case under a seed.
        requests: Counts the model calls.
    """
    for seed in seeds:
        for case in cases:
            place = folder / f"{case.name}-{seed}"
            place.mkdir(parents=True)
            tally = Killing(case, children, place, requests).run(seed, kills)
            if not tally.losses:
                shutil.rmtree(place)
            yield tally
