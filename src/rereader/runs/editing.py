"""Edits of a working memory carried out: which records are made, added, dropped and pinned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rereader.agents.authors import EXCHANGE, SUBREADER, VARIABLE
from rereader.memory.library import Library
from rereader.memory.working import Entry, Slot
from rereader.runs.edits import Edit, check_sound, find_entry
from rereader.runs.places import place_of
from rereader.schema import Document, InputError, Record, RecordKind, Span
from rereader.schema.types import USER

_DESK_GRAPHS = frozenset({"recursive"})
"""Graphs that keep what they know as variables."""
_FIRST = 1.0
"""The score of a quote that a user adds: that of the best one of a wave."""


@dataclass
class Edited:
    """What edits come to.

    Args:
        added: Records with their slots.
        dropped: Records that leave.
        pinned: Records that stay whatever is dropped later.
        unpinned: Records that may be dropped again.
        scores: Of the quotes among what was added, by record id.
        told: Each edit with the record that it is about and the one that was made.
    """

    added: list[tuple[Slot, Record]] = field(default_factory=list)
    dropped: list[Record] = field(default_factory=list)
    pinned: list[Record] = field(default_factory=list)
    unpinned: list[Record] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    told: list[dict[str, str]] = field(default_factory=list)


class Editor:
    """Carries out edits of the memory that a fork begins with.

    Args:
        library: The workspace.
        fork: Id of the fork.
        graph: Name of its graph.
        documents: Its documents.
        step: The step that it goes on from.
        held: The memory after that step.
        scores: Scores of the quotes in it, by record id.
    """

    def __init__(
        self,
        library: Library,
        fork: str,
        graph: str,
        documents: Sequence[Document],
        step: int,
        held: Sequence[Entry],
        scores: Mapping[str, float],
    ) -> None:
        self._library = library
        self._fork = fork
        self._graph = graph
        self._documents = documents
        self._step = step
        self._held = list(held)
        self._scores = scores
        self._made = Edited()
        self._instead: dict[str, Record | None] = {}
        self._pins: dict[str, bool] = {}

    def apply(self, edits: Sequence[Edit]) -> Edited:
        """Carry out edits in their order.

        Raises:
            InputError: If one of them makes no sense; then nothing was written.
        """
        for edit in edits:
            check_sound(f"{edit.record}{edit.text or ''}{edit.span}")
            if edit.kind == "add":
                self._add(edit)
            else:
                self._change(edit, find_entry(self._held, edit.record))
        self._remake_variables()
        self._settle_pins()
        return self._made

    def _change(self, edit: Edit, entry: Entry) -> None:
        record = entry.record
        if edit.kind in ("edit", "drop"):
            if record.id in self._instead:
                raise InputError(f"Record {record.id[:12]} is edited or dropped twice.", "Say it once.")
            _refuse_desk(edit, entry)
            made = self._remade(edit, entry) if edit.kind == "edit" else None
            if made is not None and made.content == record.content and made.spans == record.spans:
                return
            self._replace(entry, made, "drop" if edit.kind == "drop" else "edit")
            return
        wish = edit.kind == "pin"
        if not wish and not entry.pinned:
            raise InputError(f"Record {record.id[:12]} is not pinned.", "There is nothing to unpin.")
        if self._pins.setdefault(record.id, wish) != wish:
            raise InputError(f"Record {record.id[:12]} is pinned and unpinned.", "Do one of the two.")

    def _settle_pins(self) -> None:
        """Pin what is to be pinned in the end, in whatever order it was said.

        What takes a record's place is pinned as that was, unless something else was wished.
        """
        for entry in self._held:
            record = entry.record
            stays, wish = self._instead.get(record.id, record), self._pins.get(record.id, entry.pinned)
            if stays is None and self._pins.get(record.id):
                raise InputError(f"Record {record.id[:12]} is dropped and pinned.", "Do one of the two.")
            if entry.pinned and (stays is not record or not wish):
                self._made.unpinned.append(record)
            if stays is None:
                continue
            if wish and (stays is not record or not entry.pinned):
                self._made.pinned.append(stays)
            if wish != entry.pinned:
                self._tell("pin" if wish else "unpin", record, stays if wish else None)

    def _replace(self, entry: Entry, made: Record | None, kind: str) -> None:
        record = entry.record
        self._instead[record.id] = made
        self._made.dropped.append(record)
        if made is not None:
            self._made.added.append((entry.slot, made))  # type: ignore[arg-type]
            if made.kind is RecordKind.QUOTE:
                self._made.scores[made.id] = self._scores.get(record.id, _FIRST)
        self._tell(kind, record, made)

    def _remade(self, edit: Edit, entry: Entry) -> Record:
        """The record that takes the place of one: a note with another text, a quote of another place."""
        record = entry.record
        if record.kind is RecordKind.QUOTE:
            span, content = self._quoted(edit, record)
            return self._record(RecordKind.QUOTE, content, [span], record, record.step, record.ordinal)
        if edit.span:
            raise InputError(
                f"Record {record.id[:12]} is no quote and has no place.", "Give it a text, or add a quote."
            )
        if not (edit.text or "").strip():
            raise InputError(f"Record {record.id[:12]} is given no text.", "Drop it, if it is to go.")
        return self._record(record.kind, edit.text or "", record.spans, record, record.step, record.ordinal)

    def _quoted(self, edit: Edit, record: Record) -> tuple[Span, str]:
        if not edit.span:
            if edit.text is None or edit.text == record.content:
                return record.spans[0], record.content
            msg = f"Record {record.id[:12]} is a quote, and a quote is the source's own words."
            raise InputError(msg, "Drop it and add a note, or give it another place: span = 'DOCUMENT:START-END'.")
        span, content = self._slice(edit.span)
        if edit.text is not None and edit.text.strip() not in (content, record.content):
            raise InputError(f"The text at {edit.span} is another one than is given.", "Leave the text of quotes out.")
        self._refuse_second(span, edit.span)
        return span, content

    def _add(self, edit: Edit) -> None:
        if not edit.span and not (edit.text or "").strip():
            raise InputError("There is nothing to add.", "Give a note its text, or a quote its span.")
        record = self._added_quote(edit) if edit.span else self._added_note(edit.text or "")
        if edit.pinned:
            self._made.pinned.append(record)
        self._tell("add", None, record)

    def _added_quote(self, edit: Edit) -> Record:
        span, content = self._slice(edit.span)
        if edit.text is not None and edit.text.strip() != content:
            raise InputError(f"The text at {edit.span} is another one than is given.", "Leave the text of quotes out.")
        self._refuse_second(span, edit.span)
        step = self._newest("quote")
        record = self._record(RecordKind.QUOTE, content, [span], None, step, len(self._made.added))
        self._made.added.append(("quote", record))
        self._made.scores[record.id] = _FIRST
        return record

    def _added_note(self, text: str) -> Record:
        """A note; on a desk, a variable that holds one."""
        if self._graph not in _DESK_GRAPHS:
            record = self._record(RecordKind.NOTE, text, [], None, self._newest("note"), 0)
            if any(one.id == record.id for _, one in self._made.added):
                raise InputError("The same note is added twice.", "Add it once.")
            self._made.added.append(("note", record))
            return record
        step = self._newest("desk")
        place = 1 + max([0, *(one.record.ordinal for one in self._held if one.record.step == step)])
        place += len(self._made.added)
        note = self._record(RecordKind.NOTE, text, [], None, step, place, SUBREADER)
        content = json.dumps({"name": self._free_name(), "form": "note", "value": ""})
        variable = self._record(RecordKind.NOTE, content, [], None, step, place + 1, VARIABLE, [note.id])
        self._made.added += [("desk", note), ("desk", variable)]
        return note

    def _free_name(self) -> str:
        records = [*(entry.record for entry in self._held), *(record for _, record in self._made.added)]
        taken = {json.loads(record.content)["name"] for record in records if record.author == VARIABLE}
        return next(name for name in (f"given{i}" for i in range(1, len(taken) + 2)) if name not in taken)

    def _remake_variables(self) -> None:
        """Variables hold what took the place of their notes; one that holds nothing any more goes."""
        for entry in self._held:
            record = entry.record
            lost = [parent for parent in record.parents if parent in self._instead]
            if entry.slot != "desk" or record.author != VARIABLE or not lost or record.id in self._instead:
                continue
            found = [self._instead[parent] if parent in lost else parent for parent in record.parents]
            parents = [one if isinstance(one, str) else one.id for one in found if one is not None]
            made = None
            if parents:
                place = (record.step, record.ordinal)
                made = self._record(record.kind, record.content, record.spans, record, *place, parents=parents)
            self._replace(entry, made, "remake" if made else "drop")

    def _record(
        self,
        kind: RecordKind,
        content: str,
        spans: Sequence[Span],
        before: Record | None,
        step: int,
        ordinal: int,
        author: str = "",
        parents: Sequence[str] | None = None,
    ) -> Record:
        """A record of the user's; ``before`` is the one whose place it takes."""
        author = before.author if before else author
        given = [before.id] if before else []
        return Record.create(
            run_id=self._fork,
            kind=kind,
            content=content,
            agent=f"{USER}: {author}" if author and author != USER else USER,
            spans=spans,
            parents=given if parents is None else parents,
            step=step,
            ordinal=ordinal,
        )

    def _newest(self, slot: str) -> int:
        """The step that what is added to a slot stands with: that of the newest record there."""
        return max((entry.record.step for entry in self._held if entry.slot == slot), default=self._step)

    def _slice(self, place: str) -> tuple[Span, str]:
        """A place of a document without the white space around it, and what stands there."""
        span = place_of(self._documents, place)
        text = self._library.documents.text_of(span)
        body = text.strip()
        if not body:
            raise InputError(f"There is nothing but white space at {place}.", "Name another place.")
        start = span.start + len(text) - len(text.lstrip())
        return Span(document_id=span.document_id, start=start, end=start + len(body)), body

    def _refuse_second(self, span: Span, place: str) -> None:
        records = [entry.record for entry in self._held if entry.slot == "quote"]
        records += [record for slot, record in self._made.added if slot == "quote"]
        if any(record.spans[0] == span for record in records):
            raise InputError(f"{place} is quoted already.", "Leave it out.")

    def _tell(self, kind: str, about: Record | None, made: Record | None) -> None:
        told: Mapping[str, Any] = {"record": about, "made": made}
        self._made.told.append({"kind": kind, **{name: one.id for name, one in told.items() if one is not None}})


def _refuse_desk(edit: Edit, entry: Entry) -> None:
    """What happened at a desk can be told otherwise; what code and host said to each other cannot be made undone."""
    author = entry.record.author
    if entry.slot != "desk":
        return
    if edit.kind == "edit" and author in (VARIABLE, EXCHANGE):
        hint = "Edit the notes that it holds, or fork at the step before it was made."
        raise InputError(f"Record {entry.record.id[:12]} is the {author} of a desk and no text.", hint)
    if edit.kind == "drop" and author not in (VARIABLE, SUBREADER):
        hint = "Edit what it says, or fork at the step before it."
        raise InputError(f"Record {entry.record.id[:12]} is part of a turn that was taken.", hint)
