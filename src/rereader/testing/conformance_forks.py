"""Rules of forks: each is a function from a trial to the faults it found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from inspect import get_annotations
from typing import Any

from rereader.graphs.registry import ReadingGraph, get_graph
from rereader.runs.described import Setting, settings_of
from rereader.runs.forking import find_point
from rereader.schema import Answer, InputError
from rereader.testing.conformance_limits import MOST_STEPS, evenly
from rereader.testing.conformance_room import QUESTION, Room, Trial, same_evidence

SHORT = "Who keeps hives?"
LONG = f"{QUESTION} And {'who keeps forty hives behind the quarry of the office, and ' * 3}who painted the weathercock?"


def forks(trial: Trial) -> Iterator[str]:
    """Forked at any step without a change it gives the same answer, calls no model, and leaves its parent as it was."""
    with trial.room("forks") as room:
        answer = room.ask()
        runs, calls = room.library.runs, room.count_calls()
        before = (runs.get(answer.run_id), runs.steps(answer.run_id))
        for step in [0, *evenly(len(before[1]), MOST_STEPS)]:
            forked = room.session.fork(answer.run_id, step)
            yield from (f"forked at step {step}: {fault}" for fault in _copy_faults(answer, forked))
            if again := sum((room.count_calls() - calls).values()):
                yield f"forked at step {step}: {again} model calls were made"
                calls = room.count_calls()
            nodes = [one.node for one in runs.steps(forked.run_id)]
            if nodes != [one.node for one in before[1]]:
                yield f"forked at step {step}: its steps are {nodes}"
        if (runs.get(answer.run_id), runs.steps(answer.run_id)) != before:
            yield "its forks have changed the run"


def _copy_faults(answer: Answer, forked: Answer) -> Iterator[str]:
    if (forked.answer, forked.status) != (answer.answer, answer.status):
        yield f"the answer is {forked.answer[:60]!r} ({forked.status}), not {answer.answer[:60]!r}"
    if same_evidence(forked) != same_evidence(answer):
        yield "its evidence is another one"


def questions(trial: Trial) -> Iterator[str]:
    """Asked another question from a step on, it asks no other one, and reads once what both read once."""
    with trial.room("questions") as room:
        answer = room.ask()
        last = room.library.runs.step_numbers(answer.run_id)[-1]
        steps = [0, *evenly(find_point(room.library, answer.run_id, last).open_step, MOST_STEPS)]
        for question in (SHORT, LONG):
            forked = {step: _asked(room, answer, step, question) for step in steps}
            whole = forked[0] is not None and all(_reads_once(room, one) for one in (answer, forked[0]))
            for step, made in forked.items():
                what = f"asked {question[:24]!r} from step {step} on"
                if made is None:
                    if question == SHORT:  # a longer one may not fit
                        yield f"{what}: it is refused"
                    continue
                if QUESTION in _questions_of(room, made, step):
                    yield f"{what}: the old question is still asked"
                if whole and not _reads_once(room, made):
                    yield f"{what}: parts of the text are not read, or are read twice"


def _asked(room: Room, answer: Answer, step: int, question: str) -> Answer | None:
    try:
        return room.session.fork(answer.run_id, step, question=question)
    except InputError:
        return None


def _questions_of(room: Room, answer: Answer, step: int) -> set[str]:
    """What was asked after a step."""
    calls = [call for one in room.library.runs.steps(answer.run_id) if one.number > step for call in one.calls]
    return {piece["text"] for call in calls for piece in call.slots.get("question", []) if "text" in piece}


def _reads_once(room: Room, answer: Answer) -> bool:
    """Whether the models of a run were shown each character of the documents in one call and no other."""
    calls = [call for step in room.library.runs.steps(answer.run_id) for call in step.calls]
    pieces = [piece for call in calls for filled in call.slots.values() for piece in filled]
    shown = sorted(tuple(piece["span"]) for piece in pieces if "span" in piece)
    ends = {document.id: 0 for document in room.documents}
    for document, start, end in shown:
        if start != ends.get(document):
            return False
        ends[document] = end
    return all(ends[document.id] == document.length for document in room.documents)


def settings(trial: Trial) -> Iterator[str]:
    """A setting that decides whether a node is there is fixed by it, and none names a node that no form has."""
    # Else a fork could change it where it has been worked by, or would have nowhere to go on from.
    graph = get_graph(trial.graph)
    usual, forms = _nodes(graph, {}), {setting.name: list(_forms(graph, setting)) for setting in settings_of(graph)}
    every = usual.union(*(nodes for found in forms.values() for nodes in found))
    for name, found in forms.items():
        fixed = graph.fixed_by(name)
        if fixed is None:
            continue
        if moved := frozenset[str]().union(*(usual ^ nodes for nodes in found)) - set(fixed):
            yield f"{name} decides whether there is {_listed(moved)}, but is not fixed by it"
        if name in get_annotations(graph.settings_type) and (unknown := set(fixed) - every):
            yield f"{name} is fixed by {_listed(unknown)}, which no form of the graph has"


def _forms(graph: ReadingGraph, setting: Setting) -> Iterator[frozenset[str]]:
    """Nodes of the graph with each value of a setting whose values are counted, but for those that it refuses."""
    for value in [not setting.default] if setting.kind == "bool" else setting.choices:
        with suppress(InputError):
            yield _nodes(graph, {setting.name: value})


def _nodes(graph: ReadingGraph, values: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(graph.build(graph.settings(values)).nodes)


def _listed(names: Collection[str]) -> str:
    return f"the node {', '.join(sorted(names))}"
