"""Runs and what came of them: each fork and follow-up under its parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rereader.memory.runs import RunHead

Kind = TypeVar("Kind", bound=RunHead)
Descent = Literal["first", "fork", "follow-up"]


@dataclass(frozen=True)
class Relative(Generic[Kind]):
    """A run in its family.

    Args:
        run: The run.
        depth: How many ancestors it has.
        descent: ``fork`` went on from a step of its parent, ``follow-up`` asks about the same documents, ``first`` has
            no parent, or one that was removed.
        last: Whether no sibling comes after it.
    """

    run: Kind
    depth: int
    descent: Descent
    last: bool


def families(runs: Sequence[Kind]) -> list[Relative[Kind]]:
    """Runs family by family, the newest first; in a family each run comes before its children, the oldest first."""
    known = {run.id for run in runs}
    children: dict[str, list[Kind]] = {}
    firsts: list[Kind] = []
    for run in sorted(runs, key=lambda run: run.created_at, reverse=True):
        if run.parent in known and run.parent is not None:
            children.setdefault(run.parent, []).append(run)
        else:
            firsts.append(run)
    found: list[Relative[Kind]] = []
    waiting = [Relative(run, 0, "first", last=True) for run in reversed(firsts)]
    while waiting:
        one = waiting.pop()
        found.append(one)
        newest_first = children.get(one.run.id, [])
        waiting += [
            Relative(run, one.depth + 1, "follow-up" if run.forked_at is None else "fork", last=place == 0)
            for place, run in enumerate(newest_first)
        ]
    return found
