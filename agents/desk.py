"""The desk of a recursive run: named variables and what was done so far, outside the prompt and outside graph state.

After Recursive Language Models (arXiv 2512.24601, section 2): the root model holds handles, not the text. A variable is
a record whose spans are the places it stands for and whose parents are the notes it holds; what the root model sees of
it is its name, its type, its length and its beginning. The ledger of the run holds them; a desk is made of it anew by
every node.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rereader.agents.actions import ActionError, Ref
from rereader.agents.authors import ACTOR, EXCHANGE, PLANNER, ROOT, SUBREADER, VARIABLE
from rereader.agents.context import ReadingState, RunContext
from rereader.agents.notes import note
from rereader.prompts.loader import Piece
from rereader.schema import Record, Span

Form = Literal["text", "parts", "notes", "note", "number"]
DOC = "doc"
VERBATIM_TURNS = 3
"""Turns that the root model is shown as they were; of older ones only a line, so that cost does not grow with their
square."""
_LINE = 120
_BEGINNING = 60


@dataclass(frozen=True)
class Variable:
    """A named value.

    Args:
        name: Its name.
        form: ``text`` (spans one after the other), ``parts`` (spans), ``notes`` and ``note`` (records), ``number``.
        spans: Places in the documents that it stands for.
        notes: Records of sub-calls that it holds.
        value: Of a number.
    """

    name: str
    form: Form
    spans: tuple[Span, ...] = ()
    notes: tuple[Record, ...] = ()
    value: str = ""

    @property
    def items(self) -> int:
        """Parts or notes in it."""
        return len(self.notes) if self.form in ("notes", "note") else len(self.spans)

    @property
    def length(self) -> int:
        """Characters in it."""
        if self.form in ("notes", "note"):
            return sum(len(record.content) for record in self.notes)
        return sum(len(span) for span in self.spans) or len(self.value)

    def text(self) -> str:
        """What it says in words of its own: its notes, or its number."""
        return "\n".join(record.content for record in self.notes) or self.value

    def record(self, context: RunContext, ordinal: int) -> Record:
        """The variable as it is kept."""
        content = json.dumps({"name": self.name, "form": self.form, "value": self.value})
        return note(context, content, VARIABLE, spans=self.spans, parents=self.notes, ordinal=ordinal)


@dataclass(frozen=True)
class Turn:
    """What the root model wrote and, once that is done, what it was told."""

    wrote: Record
    told: Record | None = None


@dataclass
class Desk:
    """Variables by name and turns, oldest first; replies of sub-calls, and the records of ``mode=code``."""

    variables: dict[str, Variable]
    turns: list[Turn] = field(default_factory=list)
    notes: list[Record] = field(default_factory=list)
    exchanges: list[Record] = field(default_factory=list)
    answer: str = ""
    """What the root model answered."""

    def name_for(self, stem: str) -> str:
        """A free name such as ``parts2``."""
        number = 1
        while f"{stem}{number}" in self.variables:
            number += 1
        return f"{stem}{number}"

    def find(self, ref: Ref) -> Variable:
        """What a line names: a variable, or some of its parts as one.

        Raises:
            ActionError: If there is no such thing.
        """
        found = self.variables.get(ref.name)
        if found is None:
            raise ActionError(f"there is no variable {ref.name[:30]}; there are {', '.join(self.variables)}")
        if ref.whole:
            return found
        if found.form not in ("parts", "notes"):
            raise ActionError(f"{found.name} is a {found.form} and has no parts; use split or slice")
        return part_of(found, ref.first or 0, found.items if ref.last is None else ref.last)

    def latest(self, *forms: Form) -> Variable | None:
        """The variable of one of these forms that was made last."""
        return next((one for one in reversed(self.variables.values()) if one.form in forms), None)


def part_of(variable: Variable, first: int, last: int) -> Variable:
    """Parts or notes ``[first, last)`` of a variable.

    Raises:
        ActionError: If there are none.
    """
    if not 0 <= first < min(last, variable.items):
        raise ActionError(f"{variable.name} has parts 0 to {variable.items - 1}")
    if variable.notes:
        return Variable(variable.name, variable.form, notes=variable.notes[first:last])
    return Variable(variable.name, variable.form, variable.spans[first:last])


def whole_text(context: RunContext) -> Variable:
    """All documents of the run, one after the other."""
    spans = [Span(document_id=document.id, start=0, end=document.length) for document in context.documents]
    return Variable(DOC, "text", tuple(spans))


def desk_of(state: ReadingState, context: RunContext) -> Desk:
    """The desk as the ledger has it."""
    desk = Desk({DOC: whole_text(context)})
    held = [entry.record for entry in context.memory.read(state.get("memory_version", 0), "desk")]
    known = {record.id: record for record in held}
    for record in sorted(held, key=lambda record: (record.step, record.ordinal)):
        _put(desk, record, known)
    return desk


def _put(desk: Desk, record: Record, known: dict[str, Record]) -> None:
    if record.author == PLANNER:
        desk.turns.append(Turn(record))
    elif record.author == ACTOR and desk.turns:
        desk.turns[-1] = Turn(desk.turns[-1].wrote, record)
    elif record.author == VARIABLE:
        made = _variable(record, known)
        desk.variables.pop(made.name, None)  # the newest comes last
        desk.variables[made.name] = made
    elif record.author == SUBREADER:
        desk.notes.append(record)
    elif record.author == EXCHANGE:
        desk.exchanges.append(record)
    elif record.author == ROOT:
        desk.answer = record.content


def _variable(record: Record, known: dict[str, Record]) -> Variable:
    given: dict[str, Any] = json.loads(record.content)
    notes = tuple(known[parent] for parent in record.parents)
    return Variable(given["name"], given["form"], record.spans, notes, given["value"])


def variable_table(context: RunContext, variables: Sequence[Variable]) -> list[Piece]:
    """A line for each variable: name, type, length and beginning."""
    pieces: list[Piece] = []
    for variable in variables:
        parts = "" if variable.form in ("text", "number") else f", {variable.items:,} items"
        pieces.append(Piece(f"{variable.name}: {variable.form}{parts}, {variable.length:,} characters, begins: "))
        pieces += [_beginning(context, variable), Piece("\n", trusted=True)]
    return pieces


def _beginning(context: RunContext, variable: Variable) -> Piece:
    if variable.notes:
        return _line(variable.notes[0], _BEGINNING)
    if not variable.spans or not variable.length:
        return Piece(variable.value[:_BEGINNING])
    span = next(span for span in variable.spans if len(span))
    head = Span(document_id=span.document_id, start=span.start, end=min(span.end, span.start + 2 * _BEGINNING))
    text = context.library.documents.text_of(head)
    start = head.start + len(text) - len(text.lstrip())
    line = text.strip().split("\n")[0][:_BEGINNING]
    return Piece(line, span=Span(document_id=span.document_id, start=start, end=start + len(line)))


def history(turns: Sequence[Turn], verbatim: int = VERBATIM_TURNS, most: int = 1_500) -> list[Piece]:
    """What was done so far: the last turns up to ``most`` characters each, a line each of those before."""
    pieces: list[Piece] = []
    for number, turn in enumerate(turns, 1):
        short = number <= len(turns) - verbatim
        pieces += [Piece(f"[{number}] ", trusted=True), _head(turn.wrote, _LINE if short else most, one_line=short)]
        if turn.told is not None:
            pieces += [Piece("\n-> ", trusted=True), _head(turn.told, _LINE if short else most, one_line=short)]
        pieces.append(Piece("\n", trusted=True))
    return pieces or [Piece("nothing\n", trusted=True)]


def _head(record: Record, most: int, *, one_line: bool) -> Piece:
    return _line(record, most) if one_line else Piece(record.content[:most], record=record.id)


def _line(record: Record, most: int) -> Piece:
    """The beginning of a record's first line."""
    return Piece(record.content.split("\n", maxsplit=1)[0][:most], record=record.id)
