"""Notes: working memory as prose. A rewritten note takes the place of the old one; both stay as records."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.agents.context import ReadingState, RunContext
from rereader.prompts.loader import Piece
from rereader.schema import Record, RecordKind, Span

NOTHING_YET = "There is no memory yet."
WRITTEN = 100
"""Tokens that a rewritten memory is expected to have: what was measured on an untrained model of 14 billion weights."""


def notes(state: ReadingState, context: RunContext) -> list[Record]:
    """Notes in the working memory, the one written longest ago first."""
    held = [entry.record for entry in context.memory.read(state.get("memory_version", 0), "note")]
    return sorted(held, key=lambda record: (record.step, record.ordinal))


def note(
    context: RunContext,
    text: str,
    agent: str,
    *,
    spans: Sequence[Span] = (),
    parents: Sequence[Record] = (),
    kind: RecordKind = RecordKind.NOTE,
    ordinal: int = 0,
    model: str = "",
    prompt: str = "",
) -> Record:
    """A note that an agent writes in this step, made of what ``spans`` say and of its ``parents``.

    ``prompt`` is the digest of the prompt that a model wrote it for.
    """
    return Record.create(
        run_id=context.run_id,
        kind=kind,
        content=text,
        agent=agent,
        spans=spans,
        parents=[parent.id for parent in parents],
        step=context.step,
        ordinal=ordinal,
        prompt_hash=prompt,
        model=model,
    )


def shown(held: Sequence[Record], empty: str) -> list[Piece]:
    """Notes as they stand in a prompt, numbered by their place if there are several; ``empty`` if they say nothing.

    Those of one place, of which a user has pinned or added some, stand one after the other.
    """
    if not any(record.content for record in held):
        return [Piece(empty, trusted=True)]
    numbered = len({record.ordinal for record in held}) > 1
    pieces: list[Piece] = []
    for record in sorted(held, key=lambda record: record.ordinal):
        if numbered:
            pieces.append(Piece(f"[{record.ordinal + 1}] ", trusted=True))
        pieces.append(Piece(record.content, record=record.id))
        pieces.append(Piece("\n", trusted=True))
    return pieces[:-1]
