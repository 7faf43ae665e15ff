"""Writing quotes to the working memory and reading them back as numbered evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rereader.agents.context import ReadingState, RunContext
from rereader.agents.evidence import quote_scores
from rereader.agents.searcher import Scored
from rereader.prompts.loader import Piece
from rereader.schema import Record, RecordKind, Span
from rereader.tools.words import count_words

_MOST_MISFITS = 20
"""Passages that may be too long for the words left before the search for one that fits ends."""


def quotes(state: ReadingState, context: RunContext) -> list[Record]:
    """Quotes in the working memory, in the order they were found."""
    return [entry.record for entry in context.memory.read(state.get("memory_version", 0), "quote")]


def seeds(state: ReadingState, context: RunContext) -> list[tuple[Record, float]]:
    """The best quotes of the last reading, each with its score as a share of the best one's (0 to 1)."""
    held = quotes(state, context)
    if not held:
        return []
    scores = quote_scores(context.library.runs.steps(context.run_id))
    newest = max(record.step for record in held)
    fresh = sorted((r for r in held if r.step == newest), key=lambda r: -scores[r.id])[: context.settings.seeds]
    if not fresh:
        return []
    best = max(scores[fresh[0].id], 1e-9)
    return [(record, max(0.0, scores[record.id] / best)) for record in fresh]


def in_document_order(context: RunContext, records: Sequence[Record]) -> list[Record]:
    """Quotes as they stand in the documents: later statements after earlier ones."""
    position = {document.id: i for i, document in enumerate(context.documents)}
    return sorted(records, key=lambda r: (position[r.spans[0].document_id], r.spans[0].start))


def words_held(records: Sequence[Record]) -> int:
    """Words of all quotes together."""
    return sum(count_words(record.content) for record in records)


def select(context: RunContext, ranked: Sequence[Scored], words: int) -> list[tuple[Scored, str]]:
    """The best passages that fit ``words`` words together, whole, each with its text; a too long one is passed over."""
    chosen: list[tuple[Scored, str]] = []
    left, misfits = words, 0
    for scored in ranked:
        if left < 4:
            break
        text = context.library.documents.text_of(scored.passage.span)
        size = count_words(text)
        if 0 < size <= left:
            chosen.append((scored, text))
            left -= size
        else:
            misfits += 1
            if misfits == _MOST_MISFITS:
                break
    return chosen


def quote(context: RunContext, span: Span, text: str, agent: str, ordinal: int) -> Record:
    """A slice of a document as a quote record, without the white space around it."""
    start = span.start + len(text) - len(text.lstrip())
    body = text.strip()
    span = Span(document_id=span.document_id, start=start, end=start + len(body))
    return Record.create(
        run_id=context.run_id,
        kind=RecordKind.QUOTE,
        content=body,
        agent=agent,
        spans=[span],
        step=context.step,
        ordinal=ordinal,
    )


def add_quotes(
    state: ReadingState, context: RunContext, chosen: Sequence[tuple[Span, str, float]], agent: str, wave: int = 1
) -> tuple[int, dict[str, Any]]:
    """Write slices of documents, each with its text and score, as quotes, best first.

    Returns the new memory version and ``{record id: score}``.

    Scores of different waves are sums over different queries; what is kept is each one's share of the best of its wave,
    divided by the wave's number, so that they can be put in one order.
    """
    records = [quote(context, span, text, agent, i) for i, (span, text, _) in enumerate(chosen)]
    best = max([1e-9, *(score for _, _, score in chosen)])
    shares = [max(0.0, score) / best / wave for _, _, score in chosen]
    scores = {record.id: round(share, 4) for record, share in zip(records, shares, strict=True)}
    version = context.memory.write(state.get("memory_version", 0), [("quote", record) for record in records])
    return version, scores


def slices(chosen: Sequence[tuple[Scored, str]]) -> list[tuple[Span, str, float]]:
    """Selected passages as :func:`add_quotes` takes them."""
    return [(scored.passage.span, text, scored.score) for scored, text in chosen]


def numbered(records: Sequence[Record]) -> list[Piece]:
    """Quotes as numbered lines of a prompt: numbers are ours, the text is the document's."""
    pieces: list[Piece] = []
    for number, record in enumerate(records, 1):
        pieces.append(Piece(f"[{number}] ", trusted=True))
        pieces.append(Piece(record.content, span=record.spans[0], record=record.id))
        pieces.append(Piece("\n", trusted=True))
    return pieces


def listed(records: Sequence[Record]) -> list[Piece]:
    """Quotes as paragraphs of a prompt."""
    pieces: list[Piece] = []
    for record in records:
        pieces += [Piece(record.content, span=record.spans[0], record=record.id), Piece("\n\n", trusted=True)]
    return pieces
