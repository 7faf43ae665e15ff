"""Does what the root model of a recursive run wrote, and tells it in a few lines what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rereader.agents import views
from rereader.agents.actions import Action, ActionError, is_unfilled, parse_action
from rereader.agents.authors import ACTOR, PLANNER, SUBREADER
from rereader.agents.desk import DOC, Desk, Turn, Variable, variable_table
from rereader.agents.planner import decide
from rereader.agents.subreader import Bench, ask_parts, fits, reduce_notes, says_nothing
from rereader.agents.views import View
from rereader.schema import Record, Span

MOST_ERRORS = 3
"""Errors in a row that end a run."""
TOLD = 1_500
"""Most characters that the root model is told after a turn."""
_MOST_LISTED = 8
_MOST_ANSWERED = 4_000


@dataclass(frozen=True)
class Done:
    """What came of a turn.

    Args:
        told: What the model is told of it.
        kind: The action; empty where the line was none.
        error: Why it could not be done.
        answer: The answer that it ended with.
    """

    told: Record
    kind: str = ""
    error: str = ""
    answer: str | None = None

    @property
    def unfilled(self) -> bool:
        """Whether it ended with an empty answer, or with the placeholder."""
        return self.answer is not None and is_unfilled(self.answer)


def do(bench: Bench, line: str) -> Done:
    """Do a line and keep what the model is told of it."""
    kind, first = "", len(bench.records)
    try:
        action = parse_action(line)
        kind = action.kind
        if kind == "answer":
            return _answer(bench, action)
        _refuse_repetition(bench, line)
        view = _ACTIONS[kind](bench, action)
    except ActionError as error:
        return Done(bench.keep(f"error: {error}"[:TOLD], ACTOR), kind, error=str(error))
    if view.variable is not None:
        bench.keep_variable(view.variable)
    return Done(bench.keep(view.told[:TOLD], ACTOR, view.shown, _read(bench.records[first:])), kind)


def _answer(bench: Bench, action: Action) -> Done:
    if all(turn.told is None or _failed(turn.told) for turn in bench.desk.turns):
        raise ActionError("look at the text before you answer")
    text = action.text("text")
    found = bench.desk.variables.get(text)
    if found is not None:
        text = views.text_of(bench.context, found)[:_MOST_ANSWERED]
    return Done(bench.keep(f"answered: {text}"[:TOLD], ACTOR), "answer", answer=text)


def _refuse_repetition(bench: Bench, line: str) -> None:
    """Doing the same again tells nothing new."""
    for number, turn in enumerate(bench.desk.turns, 1):
        if turn.told is not None and turn.wrote.content == line and not _failed(turn.told):
            raise ActionError(f"this was done in turn {number}; do something else, or answer")


def _failed(told: Record) -> bool:
    return told.content.startswith("error: ")


def _plain(act: Callable[..., View]) -> Callable[[Bench, Action], View]:
    return lambda bench, action: act(bench.context, bench.desk, action)


def _info(bench: Bench, action: Action) -> View:
    found = bench.desk.find(action.ref)
    return View("".join(piece.text for piece in variable_table(bench.context, [found])).strip())


def _ask(bench: Bench, action: Action) -> View:
    """A helper reads a text or a part, or several together; a sub-run does, if they are too long and it may."""
    whole, question = bench.desk.find(action.ref), action.text("question")
    if whole.form not in ("text", "parts"):
        raise ActionError(f"{whole.name} is a {whole.form}; use reduce for notes")
    if fits(bench.context, whole.spans, question) or bench.depth >= bench.context.settings.depth:
        [found] = ask_parts(bench, [whole.spans], question)
    else:
        found = recurse(bench, whole, question)
    if found is None:
        return View("the helper found nothing there")
    name = action.name or bench.desk.name_for("note")
    return View(f"{name}: {found.content}", Variable(name, "note", notes=(found,)))


def _map(bench: Bench, action: Action) -> View:
    """The same question of every part, in one batch; notes are what was found."""
    whole, question = bench.desk.find(action.ref), action.text("question")
    if whole.form not in ("text", "parts"):
        raise ActionError(f"{whole.name} is a {whole.form}; use reduce for notes")
    replies = ask_parts(bench, [[span] for span in whole.spans], question)
    found = [(i, record) for i, record in enumerate(replies) if record is not None]
    if not found:
        return View(f"the helper found nothing in the {len(replies)} parts of {whole.name}")
    name = action.name or bench.desk.name_for("notes")
    lines = [f"{name}: something in {len(found)} of {len(replies)} parts"]
    lines += [
        f"[{i}] part {at}: {views.line_of(record.content)}" for i, (at, record) in enumerate(found[:_MOST_LISTED])
    ]
    return View("\n".join(lines), Variable(name, "notes", notes=tuple(record for _, record in found)))


def _reduce(bench: Bench, action: Action) -> View:
    whole, question = bench.desk.find(action.ref), action.text("question")
    if whole.form not in ("notes", "note"):
        raise ActionError(f"{whole.name} is a {whole.form}; map a question over it first")
    reply = reduce_notes(bench, whole.notes, question).text.strip()
    if says_nothing(reply):
        return View("the helper found nothing in the notes")
    made = bench.keep(reply, SUBREADER, parents=whole.notes)
    name = action.name or bench.desk.name_for("note")
    return View(f"{name}: {reply}", Variable(name, "note", notes=(made,)))


def recurse(bench: Bench, whole: Variable, question: str) -> Record | None:
    """A sub-run on a part: the same loop on a desk of its own; every one of its calls counts as a sub-call.

    Raises:
        ActionError: If it comes to no answer.
    """
    desk = Desk({DOC: replace(whole, name=DOC, form="text")})
    inner = replace(bench, question=question, desk=desk, depth=bench.depth + 1)  # shares records and tally
    first, turns = len(bench.records), bench.context.settings.turns
    answer = answer_of(turns, lambda turn: _sub_turn(inner, turn, turns))
    if answer is None:
        raise ActionError("the helper came to no answer on this part; split it and use map")
    read = _read(bench.records[first:])
    return None if says_nothing(answer) else bench.keep(answer, SUBREADER, spans_told(desk), read)


def answer_of(turns: int, take: Callable[[int], Done]) -> str | None:
    """What a sub-run answers in at most so many turns; ``None`` if it comes to no answer."""
    errors = 0
    for turn in range(1, turns + 1):
        done = take(turn)
        errors = errors + 1 if done.error else 0
        if done.unfilled or errors == MOST_ERRORS:
            return None
        if done.answer is not None:
            return done.answer
    return None


def _sub_turn(inner: Bench, turn: int, turns: int) -> Done:
    inner.charge(2 if inner.context.settings.plan == "choose" else 1)
    line = decide(inner, turn, turns)
    wrote = inner.keep(line, PLANNER)
    done = do(inner, line)
    inner.desk.turns.append(Turn(wrote, done.told))
    return done


def _read(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.agent == SUBREADER]


def spans_told(desk: Desk) -> list[Span]:
    """Places that the root model was shown."""
    return [span for turn in desk.turns if turn.told is not None for span in turn.told.spans]


_ACTIONS: Mapping[str, Callable[[Bench, Action], View]] = {
    "info": _info,
    "peek": _plain(views.peek),
    "search": _plain(views.search),
    "grep": _plain(views.find),
    "split": _plain(views.split),
    "slice": _plain(views.take),
    "filter": _plain(views.keep),
    "count": _plain(views.number),
    "ask": _ask,
    "map": _map,
    "reduce": _reduce,
}
