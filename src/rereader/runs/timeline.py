"""How a run went: each of its steps with all that it saw, decided, wrote and asked, and what changed between two steps.

Everything is read from the stores of a workspace; no model is called. One step is read without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rereader.memory.library import Library
from rereader.memory.runs import Call, Run, Step
from rereader.memory.timeline import Decision, Found, change_between, decisions_of, evidence_of
from rereader.memory.working import Differing, Entry
from rereader.runs.prompting import Rendered, rendered
from rereader.runs.shown import moment_html
from rereader.schema import InputError, Record, Usage
from rereader.tools.word_diff import Stretch, word_diff


@dataclass(frozen=True)
class Superseded:
    """A record of the working memory, the one that took its place, and what that changed, word by word."""

    slot: str
    old: Record
    new: Record
    diff: tuple[Stretch, ...]


@dataclass(frozen=True)
class MemoryChange:
    """What became of the working memory between two of its versions, and how many entries each of them has.

    What was superseded is neither among the added nor among the dropped.
    """

    before_version: int
    after_version: int
    before_count: int
    after_count: int
    added: tuple[Entry, ...]
    dropped: tuple[Entry, ...]
    superseded: tuple[Superseded, ...]
    pinned: tuple[Entry, ...]
    unpinned: tuple[Entry, ...]


@dataclass(frozen=True)
class MemoryDiff(MemoryChange):
    """The same with both versions whole."""

    before: tuple[Entry, ...]
    after: tuple[Entry, ...]


@dataclass(frozen=True)
class Asked:
    """A model call and its prompt as it was."""

    call: Call
    prompt: Rendered


@dataclass(frozen=True)
class Moment:
    """One step of a run with everything that belongs to it.

    Args:
        run_id: The run.
        number: The step's number.
        node: The node that did it.
        started_at: When it began (seconds since 1970).
        seconds: How long it took.
        usage: What it cost.
        detail: What the node wrote down of it.
        memory: What it did to the working memory; :func:`memory_diff` has that whole.
        decisions: What the gate made of each chunk that it considered.
        evidence: The quotes that were added.
        calls: The model calls.
    """

    run_id: str
    number: int
    node: str
    started_at: float
    seconds: float
    usage: Usage
    detail: dict[str, Any]
    memory: MemoryChange
    decisions: tuple[Decision, ...]
    evidence: tuple[Found, ...]
    calls: tuple[Asked, ...]

    def _repr_html_(self) -> str:
        return moment_html(self)


def moment(library: Library, run: Run, number: int, folders: Sequence[Path] = ()) -> Moment:
    """One step of a run.

    Args:
        library: The workspace.
        run: The run.
        number: The step.
        folders: Where prompt files of somebody's own graphs lie.

    Raises:
        InputError: If the run has no such step.
    """
    step = library.runs.step(run.id, number)
    versions = (library.runs.memory_version(run.id, number - 1), step.memory_version)
    return _moment(library, run, step, _memory_change(library, run.id, *versions), library.runs.cut(run.id), folders)


def timeline(library: Library, run: Run, folders: Sequence[Path] = ()) -> Iterator[Moment]:
    """Every step of a run in order, read one by one; the working memory is followed along."""
    steps = library.runs.steps_alone(run.id)
    versions = [0, *(step.memory_version for step in steps)]
    changes, cut = library.working_memory(run.id).between(versions), library.runs.cut(run.id)
    for step, pair, change in zip(steps, pairwise(versions), changes, strict=True):
        yield _moment(library, run, library.runs.step(run.id, step.number), _told(*pair, *change), cut, folders)


def memory_diff(library: Library, run: Run, first: int, last: int) -> MemoryDiff:
    """The working memory after one step against that after another; step 0 is the empty beginning.

    Raises:
        InputError: If the run has no such step.
    """
    numbers = library.runs.step_numbers(run.id)
    for number in (first, last):
        if number != 0 and number not in numbers:
            hint = f"{library.runs.range_of_steps(run.id)} 0 is the empty beginning."
            raise InputError(f"Run {run.id} has no step {number}.", hint)
    versions = [library.runs.memory_version(run.id, number) if number else 0 for number in (first, last)]
    return with_whole_memory(library, run, _memory_change(library, run.id, *versions))


def with_whole_memory(library: Library, run: Run, change: MemoryChange) -> MemoryDiff:
    """A change of a run's working memory with both versions whole."""
    before, after = library.working_memory(run.id).read_two(change.before_version, change.after_version)
    return MemoryDiff(**vars(change), before=tuple(before), after=tuple(after))


def _memory_change(library: Library, run_id: str, before: int, after: int) -> MemoryChange:
    """What became of a run's working memory between two of its versions."""
    return _told(before, after, *library.working_memory(run_id).differing(before, after))


def _told(before: int, after: int, old: Differing, new: Differing) -> MemoryChange:
    """What became of a working memory, told from the entries that differ."""
    change = change_between(old.entries, new.entries)
    superseded = tuple(
        Superseded(pair.slot, pair.old, pair.new, word_diff(pair.old.content, pair.new.content))
        for pair in change.replaced
    )
    return MemoryChange(
        before_version=before,
        after_version=after,
        before_count=old.count,
        after_count=new.count,
        added=change.added,
        dropped=change.dropped,
        superseded=superseded,
        pinned=change.pinned,
        unpinned=change.unpinned,
    )


def _moment(
    library: Library, run: Run, step: Step, memory: MemoryChange, cut: str | None, folders: Sequence[Path]
) -> Moment:
    written = [entry.record for entry in memory.added] + [pair.new for pair in memory.superseded]
    return Moment(
        run_id=run.id,
        number=step.number,
        node=step.node,
        started_at=step.started_at,
        seconds=step.seconds,
        usage=step.usage,
        detail=step.detail,
        memory=memory,
        decisions=decisions_of(library, run, step, cut),
        evidence=evidence_of(library, step, written),
        calls=tuple(Asked(call, rendered(library, call, folders)) for call in step.calls),
    )
