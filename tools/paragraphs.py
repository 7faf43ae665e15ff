"""Cut a text into paragraphs for paging: what a page may end after, and how much of a page it fills."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words

Piece = tuple[int, int]
_BLANK = re.compile(r"\n[^\S\n]*\n\s*|[\f\u2029]\s*")
LONGEST_WORD = 12
"""Characters that count as a word at least, so that tables of signs fill pages, too."""


def size_in_words(text: str) -> int:
    """Words of a text; where they are few and long, its characters count instead."""
    return max(count_words(text), len(text) // LONGEST_WORD)


def words_in_paragraphs(text: str, most: int) -> int:
    """Words of all paragraphs that a text is cut into, each by its size: what there is to fill pages with.

    It may be more than the size of the text as a whole, where some paragraphs count by their words and some by their
    characters.
    """
    return sum(size_in_words(text[start:end]) for start, end in paragraph_spans(text, most))


def paragraph_spans(text: str, most: int) -> list[Piece]:
    """Paragraphs of ``text`` as half-open offsets, in order, that together cover every character.

    Blank lines end a paragraph and belong to it. One of more than ``most`` words is cut where a line and a sentence end
    together, and what is still too long at every sentence; only a sentence may be longer than ``most`` words.
    """
    found: list[Piece] = []
    for start, end in _between_blanks(text):
        found += _cut(text, start, end, most)
    return found


def _between_blanks(text: str) -> Iterator[Piece]:
    start = 0
    lead = len(text) - len(text.lstrip())
    for match in _BLANK.finditer(text, lead):
        if match.end() < len(text):
            yield start, match.end()
            start = match.end()
    if start < len(text):
        yield start, len(text)


def _cut(text: str, start: int, end: int, most: int) -> list[Piece]:
    if size_in_words(text[start:end]) <= most:
        return [(start, end)]
    sentences = [(start + first, start + last) for first, last in sentence_spans(text[start:end])]
    cut: list[Piece] = []
    for group in _lines(text, sentences):
        whole = (group[0][0], group[-1][1])
        cut += [whole] if size_in_words(text[slice(*whole)]) <= most else group
    return cut


def _lines(text: str, sentences: list[Piece]) -> Iterator[list[Piece]]:
    """Sentences grouped so that every group ends at the end of a line."""
    held: list[Piece] = []
    for first, last in sentences:
        held.append((first, last))
        if "\n" in text[first:last][len(text[first:last].rstrip()) :]:
            yield held
            held = []
    if held:
        yield held
