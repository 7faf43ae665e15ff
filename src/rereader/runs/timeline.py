"""How a run went: each of its steps with all that it saw, decided, wrote and asked, and what changed between two steps.

Everything is read from the stores of a workspace; no model is called. One step is read without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rereader.memory.library import Library
from rereader.memory.runs import Call, Run, Step
from rereader.memory.timeline import Decision, Found, change_between, decisions_of, evidence_of
from rereader.memory.working import Entry
from rereader.runs.prompting import Rendered, rendered
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
class MemoryDiff:
    """The working memory at two versions, and what became of it in between.

    What was superseded is neither among the added nor among the dropped.
    """

    before_version: int
    after_version: int
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]
    added: tuple[Entry, ...]
    dropped: tuple[Entry, ...]
    superseded: tuple[Superseded, ...]
    pinned: tuple[Entry, ...]
    unpinned: tuple[Entry, ...]


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
        memory: The working memory before and after.
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
    memory: MemoryDiff
    decisions: tuple[Decision, ...]
    evidence: tuple[Found, ...]
    calls: tuple[Asked, ...]


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
    return _moment(library, run, step, library.runs.memory_version(run.id, number - 1), folders)


def timeline(library: Library, run: Run, folders: Sequence[Path] = ()) -> Iterator[Moment]:
    """Every step of a run in order, read one by one."""
    for number in library.runs.step_numbers(run.id):
        yield moment(library, run, number, folders)


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
    return versions_diff(library, run.id, *versions)


def versions_diff(library: Library, run_id: str, before: int, after: int) -> MemoryDiff:
    """What became of a run's working memory between two of its versions."""
    old, new = library.working_memory(run_id).read_two(before, after)
    change = change_between(old, new)
    superseded = tuple(
        Superseded(pair.slot, pair.old, pair.new, word_diff(pair.old.content, pair.new.content))
        for pair in change.replaced
    )
    return MemoryDiff(
        before_version=before,
        after_version=after,
        before=tuple(old),
        after=tuple(new),
        added=change.added,
        dropped=change.dropped,
        superseded=superseded,
        pinned=change.pinned,
        unpinned=change.unpinned,
    )


def _moment(library: Library, run: Run, step: Step, before: int, folders: Sequence[Path]) -> Moment:
    memory = versions_diff(library, run.id, before, step.memory_version)
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
        decisions=decisions_of(library, run, step),
        evidence=evidence_of(library, step, written),
        calls=tuple(Asked(call, rendered(library, call, folders)) for call in step.calls),
    )
