"""What became of every chunk of a run's documents, step by step: passed over, gisted, let in, read, quoted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.memory.timeline import chunks_of
from rereader.schema import RecordKind, Span

Fate = Literal["gisted", "out", "in", "read", "quoted"]
_CELLS = 400
"""Stretches that a document is shown in where the run did not cut it into chunks."""


@dataclass(frozen=True)
class Strip:
    """A document as a row of stretches that touch each other.

    Args:
        document_id: The document.
        chunks: Start and end of each stretch.
        cut: Whether they are the run's own chunks; else they are stretches of one length, since it made none.
    """

    document_id: str
    chunks: tuple[tuple[int, int], ...]
    cut: bool


class Turn(NamedTuple):
    """At a step something became of a chunk of a document, which is named by its place in the run."""

    step: int
    document: int
    chunk: int
    fate: Fate


@dataclass(frozen=True)
class Fates:
    """The documents of a run as strips, and the turns of their chunks by step; of each kind the first one alone."""

    documents: tuple[Strip, ...]
    fates: tuple[Turn, ...]


def fates(library: Library, run: Run) -> Fates:
    """What became of each chunk.

    A chunk is gisted when its gist is made or found, out or in as a gate decides, read when its text (or its
    compressed form) stands in a prompt that the reader replies to, quoted when a quote of it is taken up, or is
    evidence of the answer.
    """
    cut = library.runs.cut(run.id)
    strips = tuple(_strip(library, identity, cut) for identity in run.document_ids)
    places = {strip.document_id: (number, strip) for number, strip in enumerate(strips)}
    steps = library.runs.steps_alone(run.id)
    turns: dict[tuple[int, int, Fate], Turn] = {}
    for step, span, fate in sorted(_touched(library, run, steps, strips), key=itemgetter(0)):
        if span.document_id in places:
            number, strip = places[span.document_id]
            for chunk in _overlapping(strip, span):
                turns.setdefault((number, chunk, fate), Turn(step, number, chunk, fate))
    return Fates(strips, tuple(sorted((*turns.values(), *_decided(steps, strips)), key=itemgetter(0))))


def _strip(library: Library, identity: str, cut: str | None) -> Strip:
    chunks = chunks_of(library, identity, cut)
    if chunks:
        return Strip(identity, tuple((chunk.span.start, chunk.span.end) for chunk in chunks), cut=True)
    length = library.documents.get(identity).length
    count = max(1, min(_CELLS, length))
    borders = [place * length // count for place in range(count + 1)]
    return Strip(identity, tuple(pairwise(borders)), cut=False)


def _overlapping(strip: Strip, span: Span) -> range:
    first = bisect_right(strip.chunks, span.start, key=lambda chunk: chunk[1])
    return range(first, bisect_left(strip.chunks, span.end, key=lambda chunk: chunk[0]))


def _decided(steps: Sequence[Step], strips: Sequence[Strip]) -> Iterator[Turn]:
    """Every decision of a gate: a chunk that was left out may be let in by a later one."""
    for step in steps:
        for document, chunk, *_, accepted in step.detail.get("decisions", []):
            if strips[document].cut:
                yield Turn(step.number, document, chunk, "in" if accepted else "out")


def _touched(
    library: Library, run: Run, steps: Sequence[Step], strips: Sequence[Strip]
) -> Iterator[tuple[int, Span, Fate]]:
    """Stretches of the documents that something was done with."""
    yield from _gisted(steps, strips)
    compressed = cache(lambda: _compressed(library, run))
    for step, role, method, slots in library.runs.slots(run.id):
        if method == "generate" and role in ("reader", "gister"):
            fate: Fate = "read" if role == "reader" else "gisted"
            yield from ((step, span, fate) for span in _shown(slots, compressed))
    yield from _quoted(library, run, steps)


def _gisted(steps: Sequence[Step], strips: Sequence[Strip]) -> Iterator[tuple[int, Span, Fate]]:
    """A node named ``gist`` sees to it that every chunk has one, whoever made it."""
    made = next((step.number for step in steps if step.node == "gist"), None)
    if made is not None:
        for strip in strips:
            yield made, Span(document_id=strip.document_id, start=0, end=strip.chunks[-1][1]), "gisted"


def _shown(slots: dict[str, Any], compressed: Callable[[], Mapping[str, Sequence[Span]]]) -> Iterator[Span]:
    """The text that stood in a prompt, as itself or as blocks of keys and values."""
    for reference in (one for filled in slots.values() for one in filled):
        if "span" in reference:
            document, start, end = reference["span"]
            yield Span(document_id=document, start=start, end=end)
        for name in reference.get("kv", ()):
            yield from compressed().get(name.partition(" ")[0], ())


def _compressed(library: Library, run: Run) -> dict[str, list[Span]]:
    """What each block of the documents stands for, by its digest; also of those that are evicted."""
    found = defaultdict[str, list[Span]](list)
    for identity in run.document_ids:
        for record in library.records.of_run(identity):
            if record.kind is RecordKind.KV:
                found[record.content].extend(record.spans)
    return found


def _quoted(library: Library, run: Run, steps: Sequence[Step]) -> Iterator[tuple[int, Span, Fate]]:
    versions = [step.memory_version for step in steps]
    ledger = [row for row in library.working_memory(run.id).ledger() if row[1] == "add" and row[2] == "quote"]
    records = library.records.find(sorted({identity for *_, identity in ledger}))
    for version, _, _, identity in ledger:
        place = bisect_left(versions, version)
        if place < len(steps) and records[identity].kind is RecordKind.QUOTE:
            yield from ((steps[place].number, span, "quoted") for span in records[identity].spans)
    for quote in run.answer.evidence if run.answer and steps else ():
        span = Span(document_id=quote.document_id, start=quote.start, end=quote.end)
        yield steps[-1].number, span, "quoted"
