"""What a step of a run changed and decided, from the stores alone; one step is read without the others.

Working memory is compared between two of its versions, so the same functions serve one step and any two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.memory.working import Entry
from rereader.schema import Chunk, Record, RecordKind, Span

_LISTED = frozenset({"quote"})
"""Slots that hold a list: what comes takes nobody's place, unless it names whose."""


@dataclass(frozen=True)
class Replaced:
    """A record of the working memory and the one that took its place, such as a memory that was written anew."""

    slot: str
    old: Record
    new: Record


@dataclass(frozen=True)
class Change:
    """How one working memory differs from another.

    What was replaced is neither among the added nor among the dropped. ``pinned`` and ``unpinned`` are entries of both
    that a user pinned or let go in between.
    """

    added: tuple[Entry, ...] = ()
    dropped: tuple[Entry, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    pinned: tuple[Entry, ...] = ()
    unpinned: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What a gate made of a chunk.

    Args:
        document_id: The document.
        chunk: The chunk's ordinal.
        recalled: Score of the search that found it; ``None`` where every chunk is looked at.
        judged: The gate's score; ``None`` where the search alone decided.
        log_odds: What a trained gate's probability was made of.
        accepted: Whether it was let in.
        span: The chunk's characters; ``None`` if the run did not write down how it was cut.
    """

    document_id: str
    chunk: int
    recalled: float | None
    judged: float | None
    log_odds: float | None
    accepted: bool
    span: Span | None


@dataclass(frozen=True)
class Found:
    """A quote that was added: the record, the text that its span covers now, and its score if it was given one."""

    record: Record
    source: tuple[str, ...]
    score: float | None


def change_between(before: Sequence[Entry], after: Sequence[Entry]) -> Change:
    """What was added, dropped and replaced between two working memories.

    A record takes another's place if it stands in the same slot and names it as a parent, or, in slots that hold no
    list, has its ordinal.
    """
    old = {entry.record.id: entry for entry in before}
    new = {entry.record.id: entry for entry in after}
    dropped = {identity: entry for identity, entry in old.items() if identity not in new}
    added, replaced = [], []
    for entry in (entry for identity, entry in new.items() if identity not in old):
        place = _predecessor(entry, dropped)
        if place is None:
            added.append(entry)
        else:
            replaced.append(Replaced(entry.slot, dropped.pop(place).record, entry.record))
    turned = [entry for identity, entry in new.items() if identity in old and entry.pinned != old[identity].pinned]
    return Change(
        added=tuple(added),
        dropped=tuple(dropped.values()),
        replaced=tuple(replaced),
        pinned=tuple(entry for entry in turned if entry.pinned),
        unpinned=tuple(entry for entry in turned if not entry.pinned),
    )


def _predecessor(entry: Entry, dropped: Mapping[str, Entry]) -> str | None:
    """Whose place a new entry takes: a parent, of several the one with its ordinal, else what has its ordinal."""
    same = [held for held in dropped.values() if held.slot == entry.slot]
    parents = [held for held in same if held.record.id in entry.record.parents]
    fitting = [held for held in parents or same if held.record.ordinal == entry.record.ordinal]
    if not fitting and parents:
        return parents[0].record.id
    return None if not fitting or (not parents and entry.slot in _LISTED) else fitting[0].record.id


def decisions_of(library: Library, run: Run, step: Step, cut: str | None) -> tuple[Decision, ...]:
    """What the gate decided in a step on every chunk that it considered, in the order it wrote them down.

    A gate's detail holds ``decisions``, rows of ``[document's position, chunk, recalled, judged, let in]``, and perhaps
    ``log_odds``, one for each row.

    Args:
        library: Holds the run.
        run: The run.
        step: The gate's step.
        cut: Which chunking its chunk numbers count in; ``None`` if the run did not write that down.
    """
    rows = step.detail.get("decisions", [])
    odds = step.detail.get("log_odds", [None] * len(rows))
    spans = _spans(library, run, rows, cut)
    return tuple(
        Decision(
            document_id=run.document_ids[position],
            chunk=ordinal,
            recalled=recalled,
            judged=judged,
            log_odds=value,
            accepted=bool(accepted),
            span=spans.get((position, ordinal)),
        )
        for (position, ordinal, recalled, judged, accepted), value in zip(rows, odds, strict=True)
    )


def _spans(library: Library, run: Run, rows: Sequence[Any], cut: str | None) -> dict[tuple[int, int], Span]:
    """The characters of the chunks that were decided on, by the document's position and the chunk's ordinal."""
    ordinals: dict[int, list[int]] = {}
    for position, ordinal, *_ in rows:
        ordinals.setdefault(position, []).append(ordinal)
    spans = {}
    for position, wanted in ordinals.items():
        for chunk in chunks_of(library, run.document_ids[position], cut, min(wanted), max(wanted) + 1):
            spans[position, chunk.ordinal] = chunk.span
    return spans


def chunks_of(
    library: Library, document_id: str, cut: str | None, first: int = 0, last: int | None = None
) -> list[Chunk]:
    """Chunks ``[first, last)`` of a document as it was cut; none if that is not known, or not there any more."""
    chunking = library.chunks.chunking(document_id, cut) if cut else None
    return library.chunks.range(chunking, first, last) if chunking else []


def evidence_of(library: Library, step: Step, added: Sequence[Record]) -> tuple[Found, ...]:
    """The quotes among the records that a step added, with the source text that they cover."""
    scores = step.detail.get("scores")
    scores = scores if isinstance(scores, dict) else {}
    return tuple(
        Found(record, tuple(library.documents.text_of(span) for span in record.spans), scores.get(record.id))
        for record in added
        if record.kind is RecordKind.QUOTE
    )
