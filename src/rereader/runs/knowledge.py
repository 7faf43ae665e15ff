"""What the working memory of a run held after each step, where each of its records comes from, and what they say.

Read from what the run has stored; :mod:`rereader.runs.blame` and :mod:`rereader.runs.passages` are made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """The working memory after a step: the slot of each record."""

    step: Step
    slots: Mapping[str, str]


def states_of(library: Library, run: Run) -> list[State]:
    """The working memory after each step, in order; the steps come without their calls."""
    return list(_states(library, run))


def _states(library: Library, run: Run) -> Iterator[State]:
    history = library.working_memory(run.id).history()
    slots = dict[str, str]()
    ahead = next(history, None)
    for step in library.runs.steps_alone(run.id):
        while ahead is not None and ahead[0] <= step.memory_version:
            slots = ahead[1]
            ahead = next(history, None)
        yield State(step, slots)


def origins_of(library: Library, states: Sequence[State]) -> dict[str, Origin]:
    """Who took up each record that the working memory ever held, and who dropped it."""
    taken: dict[str, Step] = {}
    lost: dict[str, int | None] = {}
    before: set[str] = set()
    for state in states:
        for name in state.slots:
            taken.setdefault(name, state.step)
            lost[name] = None
        lost |= dict.fromkeys(before - state.slots.keys(), state.step.number)
        before = set(state.slots)
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
    slots = {name: slot for state in states for name, slot in state.slots.items()}
    echoes = {state.step.detail.get("told") for state in states if state.step.detail.get("action") == "answer"}
    said = {name: _said(slot, records[name]) for name, slot in slots.items() if name not in echoes}
    return {name: text for name, text in said.items() if text}


def _said(slot: str, record: Record) -> str:
    if slot in _NOT_KNOWN:
        return ""
    return _said_at_desk(record) if slot == "desk" else record.content


def _said_at_desk(record: Record) -> str:
    """Notes and what was told say something; plans, what code and host did, and the answer do not."""
    from rereader.agents.desk import EXCHANGE, PLANNER, ROOT, VARIABLE  # loads LangGraph, which looking does without

    author = record.author.removeprefix("sub-")
    if author == VARIABLE:
        return str(json.loads(record.content)["value"])  # its notes are records of their own
    return "" if author in (PLANNER, EXCHANGE, ROOT) else record.content
