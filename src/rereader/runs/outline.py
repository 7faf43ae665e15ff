"""All steps of a run in a few figures each, and what each did to the working memory: what a slider over steps needs.

A run of thousands of steps is sketched without its prompts, replies and records; one step with all of it is a
:class:`rereader.runs.timeline.Moment`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.forking import decides


@dataclass(frozen=True)
class StepLine:
    """A step in figures.

    Args:
        number: The step.
        node: The node that did it.
        started_at: When it began (seconds since 1970).
        seconds: How long it took.
        memory_version: The working memory's version after it.
        calls: Model calls.
        cached_calls: How many of them came from the cache.
        tokens: Tokens of prompts and replies.
        considered: Chunks that its gate considered.
        accepted: How many of them were let in.
        quotes: Quotes that it added.
        decides: Whether the answer is decided in it; a change by a fork comes too late then.
    """

    number: int
    node: str
    started_at: float
    seconds: float
    memory_version: int
    calls: int
    cached_calls: int
    tokens: int
    considered: int
    accepted: int
    quotes: int
    decides: bool


@dataclass(frozen=True)
class Outline:
    """Steps of a run in order, and every change of its working memory that they made.

    A change is the version that it made, ``add``, ``drop``, ``pin`` or ``unpin``, the slot added to, and the record's
    id. A pinned record is not dropped by a ``drop``.
    """

    steps: tuple[StepLine, ...]
    changes: tuple[tuple[int, str, str, str], ...]


def outline(library: Library, run: Run, after: int = 0) -> Outline:
    """The steps of a run past number ``after``; a run at work grows, and only what is new need be read."""
    # A step's changes are written before the step is: read after it, all of them are there.
    steps = library.runs.steps_alone(run.id, after)
    version = library.runs.memory_version(run.id, after)
    changes = library.working_memory(run.id).ledger(version)
    quotes = Counter(made for made, change, slot, _ in changes if change == "add" and slot == "quote")
    lines = []
    for step in steps:
        decisions, usage = step.detail.get("decisions", []), step.usage
        line = StepLine(
            number=step.number,
            node=step.node,
            started_at=step.started_at,
            seconds=step.seconds,
            memory_version=step.memory_version,
            calls=usage.calls,
            cached_calls=usage.cached_calls,
            tokens=usage.total_tokens,
            considered=len(decisions),
            accepted=sum(bool(row[-1]) for row in decisions),
            quotes=sum(quotes[made] for made in range(version + 1, step.memory_version + 1)),
            decides=decides(step),
        )
        lines.append(line)
        version = step.memory_version
    return Outline(tuple(lines), tuple(change for change in changes if change[0] <= version))
