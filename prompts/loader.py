"""Strict loader for prompt files.

A prompt file starts with front matter (``name``, ``version``, ``slots``) and has one section per turn, headed
``# system``, ``# user`` or ``# assistant``. ``{slot}`` is filled at rendering; what stands in the file is trusted, what
fills a slot is not, unless a :class:`Piece` says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import Any, cast

from rereader.models.base import ChatRole, Prompt, Segment
from rereader.models.kvmemory import KVMemory
from rereader.schema import InputError, Span

_FRONT = re.compile(r"\A---\n(?P<front>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
_TURN = re.compile(r"^# (system|user|assistant)$", re.MULTILINE)
_FIELDS = {"name", "version", "slots"}


@dataclass(frozen=True)
class Piece:
    """A part of what fills a slot.

    ``span`` says which characters of a document the text is, ``record`` which record it is or begins; only literal text
    that is neither is stored with the run. ``cacheable`` says that several prompts share everything up to its end.
    ``memory`` is read instead of a text, which is empty then.
    """

    text: str
    span: Span | None = None
    record: str = ""
    trusted: bool = False
    cacheable: bool = False
    memory: tuple[KVMemory, ...] = ()

    def reference(self) -> dict[str, Any]:
        """What to store so that the piece can be rendered again."""
        if self.memory:
            return {"kv": [block.name for block in self.memory]}
        if self.span:
            return {"span": [self.span.document_id, self.span.start, self.span.end]}
        if self.record:
            return {"record": self.record, "end": len(self.text)}
        return {"text": self.text, "trusted": self.trusted}


SlotValue = str | Sequence[Piece]


@dataclass(frozen=True)
class Template:
    """A parsed prompt file; ``turns`` holds ``(role, ((literal, slot or empty), ...))``."""

    name: str
    version: int
    slots: tuple[str, ...]
    turns: tuple[tuple[ChatRole, tuple[tuple[str, str], ...]], ...]
    sha256: str

    @property
    def digest(self) -> str:
        """The beginning of its hash, which says with a record or a call what it was asked with."""
        return self.sha256[:16]

    def places(self, slot: str, slots: Mapping[str, SlotValue]) -> range:
        """Which segments of the rendered prompt the pieces of a slot are."""
        at = 0
        for _, parts in self.turns:
            for literal, name in parts:
                at += bool(literal)
                count = len(as_pieces(slots[name])) if name else 0
                if name == slot:
                    return range(at, at + count)
                at += count
        raise InputError(f"Prompt {self.name!r} has no slot {slot!r}.", f"It has {', '.join(self.slots)}.")

    def render(self, **slots: SlotValue) -> Prompt:
        """Fill the slots.

        Raises:
            InputError: If a slot is missing or unknown.
        """
        if set(slots) != set(self.slots):
            wanted, given = ", ".join(self.slots), ", ".join(sorted(slots))
            raise InputError(f"Prompt {self.name!r} takes the slots {wanted}; got {given}.", "Fill exactly these.")
        segments: list[Segment] = []
        for role, parts in self.turns:
            for literal, slot in parts:
                if literal:
                    segments.append(Segment(role, literal))
                if slot:
                    segments += [_segment(role, piece) for piece in as_pieces(slots[slot])]
        return tuple(segments)


def as_pieces(value: SlotValue) -> Sequence[Piece]:
    """A slot's value as pieces."""
    return [Piece(value)] if isinstance(value, str) else value


def references(slots: Mapping[str, SlotValue]) -> dict[str, Any]:
    """What filled a template, without any document's text."""
    return {name: [piece.reference() for piece in as_pieces(value)] for name, value in slots.items()}


def prompt_sha256(prompt: Prompt) -> str:
    """Proof that a prompt rendered again is the same prompt."""
    return segments_sha256((segment.role, segment.trusted, segment.text, _blocks(segment)) for segment in prompt)


def segments_sha256(segments: Iterable[tuple[str, bool, str, Sequence[str]]]) -> str:
    """The same for a prompt given as ``(role, trusted, text, names of blocks)``, with no block at hand."""
    body = json.dumps([[role, trusted, text, *blocks] for role, trusted, text, blocks in segments])
    return hashlib.sha256(body.encode()).hexdigest()


def _blocks(segment: Segment) -> list[str]:
    return [block.name for block in segment.memory]


@cache
def load(name: str) -> Template:
    """The prompt file ``name.md`` of this package.

    Raises:
        InputError: If there is no such file, or it is malformed.
    """
    path = resources.files("rereader.prompts") / f"{name}.md"
    if not path.is_file():
        raise InputError(f"There is no prompt {name!r}.", "Add it to the folder prompts/.")
    return parse(name, path.read_text(encoding="utf-8"))


def load_file(path: Path) -> Template:
    """A prompt file that lies elsewhere, beside a graph of somebody's own; its name is the file's, without ``.md``.

    Raises:
        InputError: If there is no such file, or it is malformed.
    """
    if not path.is_file():
        raise InputError(f"There is no prompt file {path}.", "Add it beside the graph's file.")
    return parse(path.stem, path.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Template:
    """Parse the text of a prompt file; see :func:`load`."""
    match = _FRONT.match(text)
    if not match:
        raise _malformed(name, "it has no front matter between two lines '---'")
    front = dict(_front_line(name, line) for line in match["front"].splitlines())
    if set(front) != _FIELDS or front["name"] != name or not front["version"].isdigit():
        raise _malformed(name, f"its front matter must hold name: {name}, a whole version, and slots")
    slots = tuple(slot.strip() for slot in front["slots"].split(",") if slot.strip())
    turns = _turns(name, match["body"])
    used = {slot for _, parts in turns for _, slot in parts if slot}
    if used != set(slots):
        raise _malformed(name, f"it declares the slots {sorted(slots)} and uses {sorted(used)}")
    return Template(name, int(front["version"]), slots, turns, hashlib.sha256(text.encode()).hexdigest())


def _front_line(name: str, line: str) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if not colon:
        raise _malformed(name, f"front matter line {line!r} is not 'key: value'")
    return key.strip(), value.strip()


def _turns(name: str, body: str) -> tuple[tuple[ChatRole, tuple[tuple[str, str], ...]], ...]:
    parts = _TURN.split(body)
    if parts[0].strip() or len(parts) < 3:
        raise _malformed(name, "its body must be turns headed '# system', '# user' or '# assistant'")
    turns = []
    for role, text in zip(parts[1::2], parts[2::2], strict=True):
        pieces = _pieces(name, text.strip())
        turns.append((cast("ChatRole", role), pieces))
    return tuple(turns)


def _pieces(name: str, text: str) -> tuple[tuple[str, str], ...]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise _malformed(name, f"a brace stands alone ({error}); write it twice") from error
    if any(field == "" or form or conversion for _, field, form, conversion in parts):
        raise _malformed(name, "a slot is a plain name between braces")
    return tuple((literal, field or "") for literal, field, _, _ in parts)


def _segment(role: ChatRole, piece: Piece) -> Segment:
    span = (piece.span.document_id, piece.span.start, piece.span.end) if piece.span else None
    return Segment(role, piece.text, piece.trusted, piece.cacheable, span, piece.memory)


def _malformed(name: str, reason: str) -> InputError:
    return InputError(f"The prompt file {name}.md is malformed: {reason}.", "Compare it with prompts/answer.md.")
