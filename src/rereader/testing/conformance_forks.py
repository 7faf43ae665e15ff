"""Rules of forks: each is a function from a trial to the faults it found."""

from __future__ import annotations

from collections.abc import Iterator

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
