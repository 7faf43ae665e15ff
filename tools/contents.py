"""Tables of contents: lists of lines that stand again, as headings, further on in the same text.

Nothing else tells them from a text's other lists without a guess at its language and layout. What they say is not lost
where they are passed over; a title page, whose lines stand nowhere else, is no such list.
"""

from __future__ import annotations

import re

from rereader.tools.words import content_words

_FEWEST = 3
"""Entries that make a list; a heading with its number above and its title below has two lines."""
_SHARE = 0.75
"""Of the lines that must be entries: a list may begin with its own heading, or between two entries."""
_LONGEST = 120
"""Characters of an entry."""
_BEFORE = 30
"""Characters that a heading may have before an entry's words: ``ADVENTURE`` before ``I. A Scandal in Bohemia``."""
_PAGE = re.compile(r"(?:\s{2,}|\s*(?:[.·…_]\s?){3,})\S{0,6}\s*$")
"""Leaders and the number of a page behind an entry."""


def contents_entries(text: str, start: int, end: int) -> list[str]:
    """The lines of ``text[start:end]``, those at its ends whole, if they are part of a table of contents; else none.

    Lines are given in lower case, without the numbers of pages.
    """
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    last = len(text) if last < 0 else last
    lines = [line for line in text[first:last].split("\n") if line.strip()]
    if len(lines) < _FEWEST or max(map(len, lines)) > _LONGEST:
        return []
    later = text[last:].lower()
    entries = [_PAGE.sub("", line).strip().lower() for line in lines]
    misses = int(len(entries) * (1 - _SHARE))
    for entry in entries:
        misses -= not _is_heading_of(later, entry)
        if misses < 0:
            return []
    return entries


def asks_for_contents(question: str, entries: list[str]) -> bool:
    """Whether a question has a word that most entries have: *chapter*, *letter*."""
    held = [set(content_words(entry)) for entry in entries]
    return any(2 * sum(word in words for words in held) > len(held) for word in content_words(question))


def _is_heading_of(text: str, entry: str) -> bool:
    """Whether some line of a text ends with an entry and has little before it."""
    if not any(character.isalpha() for character in entry):
        return False
    ending = re.compile(re.escape(entry) + r"[ .]*$", re.MULTILINE)
    found = (match.start() for match in ending.finditer(text))
    return any(at - text.rfind("\n", 0, at) - 1 <= _BEFORE for at in found)
