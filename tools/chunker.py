"""Cut a document into chunks of at most so many tokens, at sentence, paragraph and heading borders.

Sentences are counted in batches and packed greedily; then every chunk is counted once more as a whole, so that its
``token_count`` is the tokenizer's own count of its text, never an estimate from below, and never above the limit.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rereader.schema import Chunk, InputError, Span
from rereader.tools.sentences import sentence_spans

CountTokens = Callable[[Sequence[str]], list[int]]

FULL_ENOUGH = 0.6
"""A chunk ends at a heading or paragraph border when it is at least this full there."""

_BATCH = 4_096
_HEADING_LENGTH = 100
_NUMBERED = (
    "chapter|book|part|section|act|scene|canto|volume|letter|appendix|article|stave|kapitel|chapitre|cap[ií]tulo"
)
_UNNUMBERED = "preface|prologue|epilogue|introduction|conclusion|contents|appendix|abstract|references|foreword"
_ORDINAL = (
    r"\d+|[ivxlcdm]+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:the\s+)?\w+(?:st|nd|rd|th)"
)
_HEADING = re.compile(
    rf"\s*(?:#{{1,6}}\s|(?:{_NUMBERED})\s+(?:{_ORDINAL})\b|(?:{_UNNUMBERED})[.:]?\s*\Z)", re.IGNORECASE
)
_WORD_BORDER = re.compile(r"\s+(?=\S)")
_JOINED = re.compile("[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
_MOST_JOINED = 32
"""Marks that are kept with their character where a piece is halved; no writing has more."""

Piece = tuple[int, int]


@dataclass(frozen=True)
class _Units:
    """What is packed: sentences (or parts of overlong ones), running token sums, and where strong borders stand.

    ``sums[i]`` is the count of the first ``i`` units; ``headings`` and ``paragraphs`` are ascending unit numbers that
    a heading or a paragraph begins with.
    """

    spans: list[Piece]
    sums: list[int]
    headings: list[int]
    paragraphs: list[int]


@dataclass(frozen=True)
class _Draft:
    """A chunk to be: units ``[first, end)``, of which those before ``core`` repeat the chunk before."""

    first: int
    core: int
    end: int


def chunk_document(
    text: str, *, document_id: str, count_tokens: CountTokens, max_tokens: int = 512, overlap_tokens: int = 0
) -> list[Chunk]:
    """Cut ``text`` into chunks.

    Args:
        text: The document's text.
        document_id: Goes into the spans and, hashed with the offsets, into the chunk ids.
        count_tokens: Counts each text on its own; called with up to a few thousand texts at a time.
        max_tokens: No chunk holds more, unless one single character does.
        overlap_tokens: How many tokens a chunk may repeat from the end of the one before, whole sentences only.

    Returns:
        Chunks in order. Without overlap they partition the text. ``token_count`` is the count of the chunk's text.

    Raises:
        InputError: If the limits make no sense.
    """
    if max_tokens < 1 or not 0 <= overlap_tokens < max_tokens:
        msg = f"Chunks of {max_tokens} tokens with {overlap_tokens} tokens of overlap cannot be made."
        raise InputError(msg, "Choose at least 1 token per chunk, and an overlap of 0 or more that is smaller.")
    units = _units(text, count_tokens, max_tokens)
    drafts = _pack(units, max_tokens, overlap_tokens)
    pieces = _fit(text, units, drafts, count_tokens, max_tokens)
    return [
        Chunk(
            id=chunk_id(document_id, start, end),
            span=Span(document_id=document_id, start=start, end=end),
            token_count=count,
            ordinal=ordinal,
        )
        for ordinal, ((start, end), count) in enumerate(pieces)
    ]


def chunk_id(document_id: str, start: int, end: int) -> str:
    """The id of the chunk ``[start, end)`` of a document: 32 hexadecimal digits of a hash of the three."""
    return hashlib.sha256(f"{document_id}:{start}:{end}".encode()).hexdigest()[:32]


def _units(text: str, count_tokens: CountTokens, max_tokens: int) -> _Units:
    spans = sentence_spans(text)
    counted = _split_overlong(text, spans, _count(text, spans, count_tokens), count_tokens, max_tokens)
    spans = [span for span, _ in counted]
    sums = [0]
    for _, count in counted:
        sums.append(sums[-1] + count)
    headings, paragraphs = _strong_borders(text, spans)
    return _Units(spans, sums, headings, paragraphs)


def _count(text: str, spans: Sequence[Piece], count_tokens: CountTokens) -> list[int]:
    counts: list[int] = []
    for at in range(0, len(spans), _BATCH):
        counts.extend(count_tokens([text[start:end] for start, end in spans[at : at + _BATCH]]))
    return counts


def _split_overlong(
    text: str, spans: list[Piece], counts: list[int], count_tokens: CountTokens, max_tokens: int
) -> list[tuple[Piece, int]]:
    """Halve what is over the limit, again and again; all halves of one round are counted in one batch."""
    counted = list(zip(spans, counts, strict=True))
    while any(_splits(span, count, max_tokens) for span, count in counted):
        halves = [half for span, count in counted if _splits(span, count, max_tokens) for half in _halves(text, span)]
        new = iter(list(zip(halves, _count(text, halves, count_tokens), strict=True)))
        merged: list[tuple[Piece, int]] = []
        for span, count in counted:
            merged += [next(new), next(new)] if _splits(span, count, max_tokens) else [(span, count)]
        counted = merged
    return counted


def _splits(span: Piece, count: int, max_tokens: int) -> bool:
    return count > max_tokens and span[1] - span[0] > 1


def _halves(text: str, span: Piece) -> tuple[Piece, Piece]:
    """Two parts of a piece, cut after the white space nearest to its middle, or else between two characters."""
    start, end = span
    middle = (start + end) // 2
    borders = [match.end() for match in _WORD_BORDER.finditer(text, start + 1, end)]
    cut = min(borders, key=lambda border: abs(border - middle)) if borders else _between(text, start, middle)
    return (start, cut), (cut, end)


def _between(text: str, start: int, middle: int) -> int:
    """The next place before ``middle`` that parts no character from its marks; ``middle`` where all near it does."""
    for cut in range(middle, max(start, middle - _MOST_JOINED), -1):
        if not _JOINED.match(text, cut):
            return cut
    return middle


def _strong_borders(text: str, spans: list[Piece]) -> tuple[list[int], list[int]]:
    """Units that begin with a heading, and units that begin a paragraph and do not follow a heading."""
    headings: list[int] = []
    paragraphs: list[int] = []
    after_blank = after_heading = False
    for number, (start, end) in enumerate(spans):
        heading = _is_heading(text, start, end, after_blank or number == 0)
        if heading and not after_heading:
            headings.append(number)
        elif after_blank and not after_heading:
            paragraphs.append(number)
        after_heading = heading
        sentence = text[start:end]
        tail = sentence[len(sentence.rstrip()) :]
        after_blank = tail.count("\n") > 1 or "\f" in tail or "\u2029" in tail
    return headings, paragraphs


def _is_heading(text: str, start: int, end: int, after_blank: bool) -> bool:
    if end - start > _HEADING_LENGTH or (not after_blank and text[start] != "#"):
        return False
    line = text[start:end]
    if _HEADING.match(line):
        return True
    return line.isupper() and line.count("\n", 0, len(line.rstrip())) == 0


def _pack(units: _Units, max_tokens: int, overlap_tokens: int) -> list[_Draft]:
    drafts: list[_Draft] = []
    core = 0
    while core < len(units.spans):
        floor = drafts[-1].first + 1 if drafts else 0
        room = max_tokens - (units.sums[core + 1] - units.sums[core])
        first = _overlap_start(units, core, floor, min(overlap_tokens, room))
        end = _chunk_end(units, first, core, max_tokens)
        drafts.append(_Draft(first, core, end))
        core = end
    return drafts


def _overlap_start(units: _Units, core: int, floor: int, overlap_tokens: int) -> int:
    """The earliest unit, not before ``floor``, from which at most ``overlap_tokens`` tokens lead up to ``core``."""
    first = core
    while first > floor and units.sums[core] - units.sums[first - 1] <= overlap_tokens:
        first -= 1
    return first


def _chunk_end(units: _Units, first: int, core: int, max_tokens: int) -> int:
    """Where a chunk that begins at unit ``first`` ends: at a heading, a paragraph, or the last sentence that fits."""
    limit = units.sums[first] + max_tokens
    most = max(core + 1, bisect_right(units.sums, limit) - 1)
    if most >= len(units.spans):
        return len(units.spans)
    enough = units.sums[first] + FULL_ENOUGH * max_tokens
    for borders in (units.headings, units.paragraphs):
        place = bisect_right(borders, most) - 1
        if place >= 0 and borders[place] > core and units.sums[borders[place]] >= enough:
            return borders[place]
    return most


def _fit(
    text: str, units: _Units, drafts: list[_Draft], count_tokens: CountTokens, max_tokens: int
) -> list[tuple[Piece, int]]:
    """Count every chunk as a whole; where the whole is over the limit, drop its overlap, then halve it.

    After a halved chunk the next one's overlap may reach no further back than the last half; then it is dropped too.
    """
    pieces = [_extent(units, draft.first, draft.end) for draft in drafts]
    counts = _count(text, pieces, count_tokens)
    fitted: list[tuple[Piece, int]] = []
    for draft, piece, count in zip(drafts, pieces, counts, strict=True):
        advances = not fitted or piece[0] > fitted[-1][0][0]
        if count <= max_tokens and advances:
            fitted.append((piece, count))
        else:
            fitted += _refit(text, units, draft.core, draft.end, count_tokens, max_tokens)
    return fitted


def _refit(
    text: str, units: _Units, core: int, end: int, count_tokens: CountTokens, max_tokens: int
) -> list[tuple[Piece, int]]:
    """Chunks of the units ``[core, end)``, which count more together than one by one."""
    piece = _extent(units, core, end)
    count = count_tokens([text[piece[0] : piece[1]]])[0]
    if count <= max_tokens:
        return [(piece, count)]
    if end - core == 1:
        return _split_overlong(text, [piece], [count], count_tokens, max_tokens)
    middle = (core + end) // 2
    parts = ((core, middle), (middle, end))
    return [chunk for low, high in parts for chunk in _refit(text, units, low, high, count_tokens, max_tokens)]


def _extent(units: _Units, first: int, end: int) -> Piece:
    return units.spans[first][0], units.spans[end - 1][1]
