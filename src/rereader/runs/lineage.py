"""What was made from a passage of a document in a run: records whose source it lies in, and those made from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from rereader.memory.chunks import Chunking
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.knowledge import State, origins_of, pieces_of
from rereader.schema import Record, RecordKind, Span

Prompt = tuple[int, str, str, dict[str, Any]]
"""Step, role, method and filled slots of a model call."""


@dataclass(frozen=True)
class Made:
    """A record that was made from the passage.

    Args:
        record: The record.
        how: ``span`` if the passage lies in its source, ``parents`` if it was made from such a record.
        step: Number of the step that took it into the working memory; ``None`` if none did.
        lost: Number of the step that dropped it; ``None`` if none did.
        shown: Numbers of the steps whose prompts it stood in.
    """

    record: Record
    how: Literal["span", "parents"]
    step: int | None
    lost: int | None
    shown: tuple[int, ...]


def made_from(
    library: Library, run: Run, span: Span, states: Sequence[State], prompts: Sequence[Prompt]
) -> tuple[Made, ...]:
    """What was made from a passage, in the order written; what was made before any question comes first."""
    own = [record for record in library.records.of_run(run.id) if record.kind is not RecordKind.SCORES]
    showing = defaultdict[str, dict[int, None]](dict)
    for step, _, _, slots in prompts:
        for piece in pieces_of(slots):
            for name in (piece.get("record", ""), *map(digest_of, piece.get("kv", ()))):
                showing[name][step] = None
    before = _made_before(library, run, span, states, {*showing, *(name for one in own for name in one.parents)})
    records = [*before, *own]
    how = _descent(records, span)
    origins = origins_of(library, states)
    found = []
    for record in (record for record in records if record.id in how):
        origin = origins.get(record.id)
        name = record.content if record.kind is RecordKind.KV else record.id
        taken, lost = (origin.step, origin.lost) if origin else (None, None)
        found.append(Made(record, how[record.id], taken, lost, tuple(showing.get(name, ()))))
    return tuple(found)


def _made_before(
    library: Library, run: Run, span: Span, states: Sequence[State], named: AbstractSet[str]
) -> list[Record]:
    """What was made of the passage whatever would be asked, as far as the run used it: gists, recaps, compressed texts.

    It used what a prompt shows, what a record of its own was made from, and the gists that its gate searched.
    """
    gists = set[str]()
    chunking, chunks = chunks_at(library, run, span)
    for state in states:
        methods = state.step.detail.get("gist")
        method = methods.get(span.document_id[:12]) if isinstance(methods, dict) else None
        if chunking is not None and method is not None:
            gists |= {record.id for record in library.records.gists(chunking, method, chunks).values()}
    found = [one for one in library.records.touching(span) if one.run_id in run.document_ids]
    return [one for one in found if one.id in named | gists or one.content in named]


def _descent(records: Sequence[Record], span: Span) -> dict[str, Literal["span", "parents"]]:
    """Which records were made from a passage, and how."""
    children = defaultdict[str, list[str]](list)
    for record in records:
        for parent in record.parents:
            children[parent].append(record.id)
    found: dict[str, Literal["span", "parents"]] = {
        record.id: "span" for record in records if any(one.overlaps(span) for one in record.spans)
    }
    waiting = list(found)
    while waiting:
        for child in children[waiting.pop()]:
            if child not in found:
                found[child] = "parents"
                waiting.append(child)
    return found


def chunks_at(library: Library, run: Run, span: Span) -> tuple[Chunking | None, list[int]]:
    """How a run cut a document, and the chunks that a place of it lies in; none if it did not write down how."""
    cut = library.runs.cut(run.id)
    chunking = library.chunks.chunking(span.document_id, cut) if cut else None
    if chunking is None:
        return None, []
    return chunking, [chunk.ordinal for chunk in library.chunks.overlapping(chunking, span.start, span.end)]


def digest_of(block: str) -> str:
    """What the record of a block holds, from the block's name in a prompt."""
    return block.partition(" ")[0]
