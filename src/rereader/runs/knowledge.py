"""What the working memory of a run held after each step, where each of its records comes from, and what they say.

Read from what the run has stored; :mod:`rereader.runs.blame` and :mod:`rereader.runs.passages` are made of it.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from rereader.agents.authors import EXCHANGE, PLANNER, ROOT, VARIABLE
from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.schema import Record

_NOT_KNOWN = frozenset({"draft", "question"})
"""Slots of working memory that hold no knowledge: the answer itself, and what was to be looked up."""


@dataclass(frozen=True)
class Origin:
    """Where a record of the working memory comes from.

    Args:
        record: The record; its spans are what of the source it was made from.
        step: Number of the step that took it up.
        node: That step's node.
        lost: Number of the step that dropped it; ``None`` if it was there to the end.
    """

    record: Record
    step: int
    node: str
    lost: int | None


@dataclass(frozen=True)
class State:
    """A step and what it did to the working memory: the slot of each record that came, and what went.

    Memories are not kept whole: of thousands of steps they would take room with the square of their number. What they
    held is followed by :func:`held_after`.
    """

    step: Step
    came: Mapping[str, str]
    went: AbstractSet[str]


def states_of(library: Library, run: Run) -> list[State]:
    """The steps of a run in order, without their calls, and what each did to the working memory."""
    steps = library.runs.steps_alone(run.id)
    moves = library.working_memory(run.id).moves([step.memory_version for step in steps])
    return [State(step, came, went) for step, (came, went) in zip(steps, moves, strict=True)]


def held_after(states: Iterable[State], names: Container[str]) -> Iterator[tuple[Step, Mapping[str, str]]]:
    """Each step with the slots of some records after it, in the order added; the mapping changes from step to step."""
    held = dict[str, str]()
    for state in states:
        for name in state.went:
            held.pop(name, None)
        held.update((name, slot) for name, slot in state.came.items() if name in names)
        yield state.step, held


def origins_of(library: Library, states: Sequence[State]) -> dict[str, Origin]:
    """Who took up each record that the working memory ever held, and who dropped it."""
    taken: dict[str, Step] = {}
    lost: dict[str, int | None] = {}
    for state in states:
        for name in state.came:
            taken.setdefault(name, state.step)
            lost[name] = None
        lost |= dict.fromkeys(state.went - state.came.keys(), state.step.number)
    return {
        record.id: Origin(record, taken[record.id].number, taken[record.id].node, lost[record.id])
        for record in library.records.get(sorted(taken))
    }


def drafting(states: Sequence[State]) -> Step | None:
    """The step that drafted the answer; of several the last, whose draft the run ended with."""
    return next((state.step for state in reversed(states) if "draft" in state.step.detail), None)


def until_drafted(states: Sequence[State]) -> Sequence[State]:
    """What the answer was written from: the states before its draft. Quotes that are found for it are no knowledge."""
    draft = drafting(states)
    return states if draft is None else [state for state in states if state.step.number < draft.number]


def pieces_of(slots: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """References to all that filled the slots of a prompt."""
    return (piece for filled in slots.values() for piece in filled)


def sayings(states: Sequence[State], records: Mapping[str, Record]) -> dict[str, str]:
    """What each record says of the documents, by id; those that say nothing of them are left out.

    The draft of an answer, what was to be looked up, plans, and answers on a desk are no knowledge.
    """
    slots = {name: slot for state in states for name, slot in state.came.items()}
    echoes = {state.step.detail.get("told") for state in states if state.step.detail.get("action") == "answer"}
    said = {name: _said(slot, records[name]) for name, slot in slots.items() if name not in echoes}
    return {name: text for name, text in said.items() if text}


def _said(slot: str, record: Record) -> str:
    if slot in _NOT_KNOWN:
        return ""
    return _said_at_desk(record) if slot == "desk" else record.content


def _said_at_desk(record: Record) -> str:
    """Notes and what was told say something; plans, what code and host did, and the answer do not."""
    author = record.author.removeprefix("sub-")
    if author == VARIABLE:
        return str(json.loads(record.content)["value"])  # its notes are records of their own
    return "" if author in (PLANNER, EXCHANGE, ROOT) else record.content
