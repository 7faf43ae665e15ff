"""Prompts of a run rendered again: exactly as they were, proven by their hash, or not at all.

A call keeps its template's name and hash, references to what filled the slots (spans, records, blocks, short literal
texts), and the prompt's sha256. A rendering whose sha256 is another one is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rereader.memory.library import Library
from rereader.memory.runs import Call
from rereader.prompts.loader import Template, load, load_file, segments_sha256
from rereader.prompts.openings import OPENING, kv_opening, opening_digest
from rereader.schema import InputError, Span


@dataclass(frozen=True)
class Part:
    """A segment of a prompt.

    Args:
        role: Whose turn it belongs to.
        text: The text; empty where blocks of keys and values stand.
        trusted: Whether it is an instruction of ours; else it comes from a document, a question or a model.
        slot: The slot that it fills, empty for the template's own text.
        span: The characters of a document that it is.
        record: The record that it is, or begins.
        blocks: Names of the compressed texts that the model read here.
    """

    role: str
    text: str
    trusted: bool = True
    slot: str = ""
    span: Span | None = None
    record: str = ""
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rendered:
    """A call's prompt as it was; ``None`` where it cannot be had any more, and ``reason`` says why."""

    parts: tuple[Part, ...] | None
    reason: str = ""


class _Gone(Exception):
    """A part of a prompt cannot be had any more; the text says why."""


def rendered(library: Library, call: Call, folders: Sequence[Path] = ()) -> Rendered:
    """The exact prompt of a call.

    Args:
        library: Where its references point to.
        call: The call.
        folders: Where prompt files of somebody's own graphs lie, with the folders below.
    """
    try:
        parts = tuple(_parts(library, call, folders))
    except _Gone as reason:
        return Rendered(None, str(reason))
    if segments_sha256((part.role, part.trusted, part.text, part.blocks) for part in parts) != call.prompt_sha256:
        return Rendered(None, "What is stored gives another prompt than the one that was sent: its sha256 differs.")
    return Rendered(parts)


def _parts(library: Library, call: Call, folders: Sequence[Path]) -> Iterator[Part]:
    name, _, digest = call.template.partition("@")
    if name == OPENING:
        _check("What stands before compressed texts", digest, opening_digest())
        yield from (Part(segment.role, segment.text, segment.trusted) for segment in kv_opening())
        yield from _filled(library, "user", "text", call.slots["text"])
        return
    template = _template(name, digest, folders)
    if set(template.slots) != set(call.slots):
        raise _Gone(f"The slots of {name}.md are not those that were filled.")
    for role, pieces in template.turns:
        for literal, slot in pieces:
            if literal:
                yield Part(role, literal)
            if slot:
                yield from _filled(library, role, slot, call.slots[slot])


def _template(name: str, digest: str, folders: Sequence[Path]) -> Template:
    """The template of this name and hash."""
    found = list(_templates(name, folders))
    if not found:
        raise _Gone(f"There is no prompt file {name}.md; it may belong to a graph that is not here.")
    for template in found:
        if template.digest == digest:
            return template
    _check(f"The prompt file {name}.md", digest, found[0].digest)
    return found[0]


def _templates(name: str, folders: Sequence[Path]) -> Iterator[Template]:
    with suppress(InputError):  # a graph of somebody's own may have brought it along
        yield load(name)
    for path in (path for folder in folders for path in sorted(folder.rglob(f"{name}.md"))):
        with suppress(InputError, OSError, UnicodeError):  # another file of that name
            yield load_file(path)


def _check(what: str, then: str, now: str) -> None:
    if then != now:
        raise _Gone(f"{what} has changed since: it was {then}, and is {now} now.")


def _filled(library: Library, role: str, slot: str, references: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    """What fills a slot."""
    records = library.records.find([reference["record"] for reference in references if "record" in reference])
    for reference in references:
        if "kv" in reference:
            yield Part(role, "", False, slot, blocks=tuple(reference["kv"]))
        elif "span" in reference:
            document, start, end = reference["span"]
            span = Span(document_id=document, start=start, end=end)
            yield Part(role, library.documents.text_of(span), False, slot, span=span)
        elif "record" in reference:
            identity = reference["record"]
            if identity not in records:
                raise _Gone(f"The record {identity[:12]} that stood in it is gone from the workspace.")
            yield Part(role, records[identity].content[: reference["end"]], False, slot, record=identity)
        else:
            yield Part(role, reference["text"], reference["trusted"], slot)
