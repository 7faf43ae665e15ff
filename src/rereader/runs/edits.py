"""Edits of a working memory, and the file that says them: TOML or JSON.

The file holds the memory as it is to be (``[[memory]]``, as :func:`memory_text` writes it), or single edits (``drop``,
``pin``, ``unpin``, ``[[edit]]``, ``[[add]]``).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rereader.memory.working import Entry
from rereader.schema import InputError, Record, RecordKind

_SHORT = 12
_LEAST = 4
_ESCAPED = re.compile(r"[\\\x00-\x08\x0b-\x1f\x7f]")
_FORM = "See 'rereader fork --help', or begin with what --print-memory prints."


@dataclass(frozen=True)
class Edit:
    """One change of a working memory.

    Args:
        kind: ``edit`` puts another text, or a quote of another place, in a record's place; ``add`` adds a note or a
            quote; ``drop`` takes a record out; ``pin`` keeps it whatever would drop it later, until ``unpin``.
        record: Id of the record, or its first characters; none for ``add``.
        text: The text of a note.
        span: ``DOCUMENT:START-END`` of a quote: an id, its first characters or a title, then offsets in characters;
            ``START-END`` will do where there is one document.
        pinned: Whether what is added is pinned.
    """

    kind: Literal["edit", "add", "drop", "pin", "unpin"]
    record: str = ""
    text: str | None = None
    span: str = ""
    pinned: bool = False


_EMPTY = "It is empty; an entry begins with a line [[memory]]."


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Held(_Part):
    record: str = ""
    slot: str = ""
    agent: str = ""
    text: str | None = None
    span: str = ""
    pin: bool = False


class _Edited(_Part):
    record: str
    text: str | None = None
    span: str = ""


class _Added(_Part):
    text: str | None = None
    span: str = ""
    pin: bool = False


class _File(_Part):
    memory: list[_Held] | None = None
    edit: list[_Edited] = []
    add: list[_Added] = []
    drop: list[str] = []
    pin: list[str] = []
    unpin: list[str] = []


def read_edits(text: str, held: Sequence[Entry]) -> list[Edit]:
    """The edits that a file says of a memory.

    Args:
        text: The file's text; JSON if it begins with a brace, else TOML.
        held: The memory.

    Raises:
        InputError: If it cannot be read, or names a record that the memory does not hold.
    """
    said = _parsed(text)
    single = [
        *(Edit("edit", one.record, one.text, one.span) for one in said.edit),
        *(Edit("drop", one) for one in said.drop),
        *(Edit("pin", one) for one in said.pin),
        *(Edit("unpin", one) for one in said.unpin),
        *(Edit("add", text=one.text, span=one.span, pinned=one.pin) for one in said.add),
    ]
    if said.memory is None:
        return single
    if single:
        raise InputError("The edits say the whole memory and single changes of it.", "Keep one of the two.")
    return _difference(said.memory, held)


def memory_text(held: Sequence[Entry], head: str = "") -> str:
    """A memory as TOML that :func:`read_edits` takes, after a comment; a draft of the answer is left out."""
    entries = memory_fields(held)
    lines = [*head.splitlines(), *([] if entries else [_EMPTY])]
    blocks = ["\n".join(f"# {line}".rstrip() for line in lines)] if lines else []
    for fields in entries:
        told = "\n".join(f"{name} = {_toml(value)}" for name, value in fields.items())
        blocks.append(f"[[memory]]\n{told}")
    return "\n\n".join(blocks) + "\n"


def memory_fields(held: Sequence[Entry]) -> list[dict[str, Any]]:
    """A memory as JSON that :func:`read_edits` takes under the key ``memory``."""
    return [_fields(entry) for entry in held if entry.slot != "draft"]


def find_entry(held: Iterable[Entry], identity: str) -> Entry:
    """The entry whose record has this id, or this beginning of it.

    Raises:
        InputError: If there is none, or several.
    """
    entries = [entry for entry in held if entry.slot != "draft"]
    found = [one for one in entries if one.record.id == identity]
    if not found and len(identity) >= _LEAST:
        found = [one for one in entries if one.record.id.startswith(identity)]
    if len(found) != 1:
        count = "no record" if not found else f"{len(found)} records"
        hint = "--print-memory shows what the memory holds at this step."
        raise InputError(f"The working memory holds {count} {identity!r}.", hint)
    return found[0]


def check_sound(text: str) -> None:
    """Refuse half characters, which JSON can name and nothing can store.

    Raises:
        InputError: If there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("The edits hold half of a character, a lone surrogate.", "Write it whole.") from error


def _parsed(text: str) -> _File:
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        check_sound(json.dumps(values, ensure_ascii=False, default=str))
        return _File.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"The edits cannot be used: {where}: {first['msg']}.", _FORM) from error
    except (ValueError, RecursionError) as error:  # of both formats
        raise InputError(f"The edits are no TOML or JSON: {error}.", _FORM) from error


def _difference(wanted: Sequence[_Held], held: Sequence[Entry]) -> list[Edit]:
    """What makes the memory what is wanted."""
    edits: list[Edit] = []
    seen: set[str] = set()
    for one in wanted:
        if not one.record:
            edits.append(Edit("add", text=one.text, span=one.span, pinned=one.pin))
            continue
        entry = find_entry(held, one.record)
        record = entry.record
        seen.add(record.id)
        text = None if one.text == record.content else one.text
        span = "" if one.span == span_text(record) else one.span
        if text is not None or span:
            edits.append(Edit("edit", record.id, text, span))
        if one.pin != entry.pinned:
            edits.append(Edit("pin" if one.pin else "unpin", record.id))
    left = [entry.record.id for entry in held if entry.slot != "draft" and entry.record.id not in seen]
    return [*edits, *(Edit("drop", identity) for identity in left)]


def span_text(record: Record) -> str:
    """The place of a quote as ``DOCUMENT:START-END``; empty for other records."""
    if record.kind is not RecordKind.QUOTE:
        return ""
    span = record.spans[0]
    return f"{span.document_id[:_SHORT]}:{span.start}-{span.end}"


def _fields(entry: Entry) -> dict[str, Any]:
    record, span = entry.record, span_text(entry.record)
    fields: dict[str, Any] = {"record": record.id, "slot": entry.slot, "agent": record.agent}
    if span:
        fields["span"] = span
    if entry.pinned:
        fields["pin"] = True
    return {**fields, "text": record.content}


def _toml(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    body = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if "\n" not in body:
        return '"' + body.replace('"', '\\"') + '"'
    body = body.replace('""', '\\"\\"')
    return '"""\n' + (body[:-1] + '\\"' if body.endswith('"') else body) + '"""'
