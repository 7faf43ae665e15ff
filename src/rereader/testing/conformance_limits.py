"""Rules of budgets, interruptions and what is kept: each is a function from a trial to the faults it found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from rereader.memory.runs import Step
from rereader.schema import Answer, Budget, Event, Interrupted
from rereader.testing.conformance_room import QUESTION, TEXT, Room, Trial, counts, same_evidence
from rereader.testing.conformance_rules import runs_of_words

_SMALL = 60
"""Tokens that are too few for a prompt."""
_SHARES = (0.1, 0.5)
MOST_STEPS = 12
_MOST_BATCHES = 6
"""After how many a run is stopped; of a longer run's as many, evenly spread."""


class _Died(Exception):
    """The process is gone, as far as the run can tell."""


def budgets(trial: Trial) -> Iterator[str]:
    """A budget of nothing ends the run as ``budget_spent`` and is kept."""
    spent = _whole(trial, "budgets").usage
    limits: list[tuple[Budget, bool]] = [
        (Budget(tokens=0), spent.total_tokens > 0),
        (Budget(calls=0), spent.calls > 0),
        (Budget(tokens=_SMALL), spent.total_tokens > _SMALL),
        (Budget(seconds=0), True),
    ]
    for place, (budget, too_small) in enumerate(limits):
        with trial.room(f"budgets-{place}") as room:
            answer = room.ask(budget=budget)
        yield from _budget_faults(answer, budget)
        if too_small and answer.status != "budget_spent":
            yield f"{_named(budget)}: the status is {answer.status!r}, not 'budget_spent'"


def shares(trial: Trial) -> Iterator[str]:
    """With a tenth and a half of what it needs it answers or says that the budget is spent, and keeps the budget."""
    spent = _whole(trial, "shares").usage
    for share in _SHARES:
        for name, used in (("tokens", spent.total_tokens), ("calls", spent.calls)):
            budget = Budget(**{name: int(used * share)})
            with trial.room(f"shares-{name}-{share}") as room:
                yield from _budget_faults(room.ask(budget=budget), budget)


def _budget_faults(answer: Answer, budget: Budget) -> Iterator[str]:
    usage, name = answer.usage, _named(budget)
    if budget.calls is not None and usage.calls > budget.calls:
        yield f"{name}: {usage.calls} calls were made"
    if budget.tokens is not None and usage.total_tokens > budget.tokens:
        yield f"{name}: {usage.total_tokens} tokens were spent"
    if answer.status not in ("answered", "declined", "budget_spent"):
        yield f"{name}: the status is {answer.status!r}"
    if answer.status == "budget_spent" and not any("budget" in warning.lower() for warning in answer.warnings):
        yield f"{name}: no warning says that the budget is spent"


def _named(budget: Budget) -> str:
    limits = budget.model_dump(exclude_none=True)
    return "a budget of " + ", ".join(f"{value:g} {name}" for name, value in limits.items())


def resume(trial: Trial) -> Iterator[str]:
    """Stopped as any step begins or after any call, a run goes on to the same result and repeats no call."""
    with trial.room("resume") as whole:
        batches = _stop_after_batch(whole, None, threading.Event())
        expected = whole.ask()
        steps = len(whole.library.runs.steps(expected.run_id))
    for number in evenly(steps, MOST_STEPS):
        with trial.room(f"resume-step-{number}") as room:
            answer = _interrupted(room, number)
            yield from _faults_of_resumed(f"stopped at step {number}", whole, room, expected, answer)
    for number in evenly(len(batches), _MOST_BATCHES):
        with trial.room(f"resume-batch-{number}") as room:
            answer = _interrupted_after_batch(room, number)
            yield from _faults_of_resumed(f"stopped after batch {number} of its calls", whole, room, expected, answer)


def killed(trial: Trial) -> Iterator[str]:
    """Killed after any step was stored but before its checkpoint, a run does the step again to the same result."""
    with trial.room("killed") as whole:
        expected = whole.ask()
        steps = len(whole.library.runs.steps(expected.run_id))
    for number in evenly(steps, MOST_STEPS):
        with trial.room(f"killed-{number}") as room:
            answer = _killed(room, number)
            yield from _faults_of_resumed(f"killed after step {number}", whole, room, expected, answer)


def _interrupted(room: Room, number: int) -> Answer:
    cancel = threading.Event()

    def stop(event: Event) -> None:
        if event.kind == "step" and event.step == number:
            cancel.set()

    return _resumed(room, lambda: room.ask(listen=stop, cancel=cancel), Interrupted)


def _resumed(room: Room, ask: Callable[[], Answer], error: type[Exception]) -> Answer:
    try:
        return ask()
    except error:
        return room.session.resume(room.library.runs.all()[0].id, listen=room.events.append)


def _interrupted_after_batch(room: Room, number: int) -> Answer:
    cancel = threading.Event()
    _stop_after_batch(room, number, cancel)
    return _resumed(room, lambda: room.ask(cancel=cancel), Interrupted)


def _stop_after_batch(room: Room, number: int | None, cancel: threading.Event) -> list[str]:
    """Set ``cancel`` when so many batches of calls were stored; the methods of those stored are in the result."""
    cache, stored = room.library.calls, list[str]()
    put = cache.put

    def put_and_stop(method: str, *rest: Any) -> None:
        put(method, *rest)
        stored.append(method)
        if len(stored) == number:
            cancel.set()

    cache.__dict__["put"] = put_and_stop
    return stored


def _killed(room: Room, number: int) -> Answer:
    runs = room.library.runs
    store = runs.add_step

    def die(run_id: str, step: Step, *rest: Any) -> None:
        store(run_id, step, *rest)
        if step.number == number:
            del runs.__dict__["add_step"]
            raise _Died

    runs.__dict__["add_step"] = die
    return _resumed(room, room.ask, _Died)


def evenly(count: int, most: int) -> list[int]:
    """Numbers from 1 to ``count``, all of them or ``most`` that are evenly spread, the last one included."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({round(1 + i * (count - 1) / (most - 1)) for i in range(most)})


def _faults_of_resumed(when: str, whole: Room, room: Room, expected: Answer, answer: Answer) -> Iterator[str]:
    if (answer.answer, answer.status) != (expected.answer, expected.status):
        yield f"{when}: the answer is {answer.answer[:60]!r} ({answer.status}), not {expected.answer[:60]!r}"
    if same_evidence(answer) != same_evidence(expected):
        yield f"{when}: its evidence is not that of an unharmed run"
    used = counts(answer.usage)
    for name, value in counts(expected.usage).items():
        if used[name] != value:
            yield f"{when}: its usage counts {used[name]} {name}, not {value}"
    if again := sum((room.count_calls() - whole.count_calls()).values()):
        yield f"{when}: {again} model calls were made that an unharmed run does not make, or made again"


def state(trial: Trial) -> Iterator[str]:
    """No text of a document is in the graph's state or its checkpoints: those hold ids, cursors and counters."""
    with trial.room("state") as room:
        answer = room.ask()
        folder = room.library.checkpoint_path(answer.run_id).parent
        stored = b"".join(path.read_bytes() for path in sorted(folder.iterdir())).decode("utf-8", "replace")
    if QUESTION not in stored:
        yield f"no checkpoint of the run was found in {folder}"
    kept = " ".join(stored.split())
    found = [words for words in runs_of_words(TEXT.split()) if words in kept and words not in QUESTION]
    if found:
        yield f"the checkpoints hold text of the document: {found[0]!r} and {len(found) - 1} more runs of three words"


def _whole(trial: Trial, name: str) -> Answer:
    with trial.room(f"{name}-whole") as room:
        return room.ask()
