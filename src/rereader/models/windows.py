"""Cut a text into pieces of at most so many tokens, at sentence and word borders where they lie near."""

from __future__ import annotations

from collections.abc import Sequence

_CLOSERS = "\"')]}\u00bb\u201d\u2019"
_OPENERS = "\"'([{\u00ab\u201c\u2018"
_SENTENCE_ENDS = ".!?\u2026\u3002\uff01\uff1f"

Offsets = Sequence[tuple[int, int]]


def cut_windows(text: str, offsets: Offsets, limit: int) -> list[tuple[int, int]]:
    """Cut ``text`` into pieces ``[start, end)`` of at most ``limit`` tokens that cover every character in order.

    A piece ends at the last sentence border in the last quarter of its tokens; else before the last token that
    follows white space; else where the limit falls. Time is linear in the number of tokens.

    Args:
        text: The text.
        offsets: ``(start, end)`` of each token in code points, in order.
        limit: Most tokens of a piece, at least 1.

    Returns:
        The pieces; none for an empty text.
    """
    pieces: list[tuple[int, int]] = []
    start = first = 0
    while len(offsets) - first > limit:
        first, end = _border(text, offsets, first, limit)
        if end > start:
            pieces.append((start, end))
            start = end
    if start < len(text):
        pieces.append((start, len(text)))
    return pieces


def _border(text: str, offsets: Offsets, first: int, limit: int) -> tuple[int, int]:
    """Index of the token that the next piece begins with, and the character it begins at."""
    last = first + limit
    word: tuple[int, int] | None = None
    for token in range(last, first, -1):
        after = offsets[token - 1][1]
        gap = text[after : offsets[token][0]]
        closed = gap.rstrip(_OPENERS)
        if not closed or not closed[-1].isspace():
            continue
        border = (token, after + len(closed))
        late = token >= last - max(1, limit // 4)
        if late and ("\n\n" in closed or ends_sentence(text, after + len(closed.rstrip()))):
            return border
        word = word or border
        if not late:
            break
    return word or (last, offsets[last][0])


def ends_sentence(text: str, end: int) -> bool:
    """Whether the characters before ``end`` close a sentence (closing quotes and brackets may follow the mark)."""
    while end > 0 and text[end - 1] in _CLOSERS:
        end -= 1
    return end > 0 and text[end - 1] in _SENTENCE_ENDS
