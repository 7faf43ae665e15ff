"""Measured numbers in the prose of a page, and the notes beside it that say where they come from.

A number counts as measured if it has decimals, a percent sign, or a unit of time, of memory, of speed or ``times``
behind it; other whole numbers are settings, sizes and counts. Code, links and generated blocks are left out. A note is
an HTML comment behind a paragraph, list or table:

    <!-- rows
    0.91 = cell("needles-crowded", "Evidence recall", "all", "memory-extract")
    1.15, 0.30: aim
    -->
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BLOCK = re.compile(r"<!-- (?P<name>[\w.:-]+) -->.*?<!-- /(?P=name) -->", re.DOTALL)
_NOTE = re.compile(r"<!-- rows\n(?P<lines>.*?)-->", re.DOTALL)
_CODE = (
    re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)`*$", re.DOTALL | re.MULTILINE),
    re.compile(r"^ {4}\S.*$", re.MULTILINE),
    re.compile(r"`[^`\n]*`"),
)
_HIDDEN = (
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"(?<=\])\([^)]*\)"),
    re.compile(r"<[^>]*>"),
)
_CLAIM = re.compile(r"(?P<numbers>[^=:]+?)\s*(?P<sign>[=:])(?P<value>.*)")
_UNIT = r"(?:s|ms|seconds?|minutes?|hours?|days?|kB|MB|GB|[KMG]iB|bytes|tokens a second|times|percent)"
_MEASURED = re.compile(
    rf"(?<![\w.,])[+-]?(?:\d[\d,]*\.\d+(?:%|\b)|\d[\d,]*%|\d[\d,]*(?=\s{_UNIT}\b|,\s(?:\d[\d,]*\sand\s)?\d[\d,]*\s{_UNIT}\b"
    rf"|\s(?:to|and|or)\s\d[\d,]*(?:\.\d+)?\s{_UNIT}\b))"
)
"""Decimals, percents, and whole numbers with a unit behind them, or behind the number that follows in a list."""


@dataclass(frozen=True)
class Claim:
    """One line of a note: the numbers as they stand in the prose, and an expression or the name of a reason."""

    line: int
    numbers: tuple[str, ...]
    expression: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, list or table with the notes behind it.

    Args:
        line: Its first line in the page, from 1.
        text: Its text without code, links and comments.
        claims: The lines of its notes.
    """

    line: int
    text: str
    claims: tuple[Claim, ...]

    def measured(self, exempt: Sequence[re.Pattern[str]]) -> list[tuple[int, str]]:
        """Measured numbers that no pattern covers, each with its line."""
        free = [found.span() for pattern in exempt for found in pattern.finditer(self.text)]
        return [
            (self.line + self.text.count("\n", 0, found.start()), found[0])
            for found in _MEASURED.finditer(self.text)
            if not any(start <= found.start() and found.end() <= end for start, end in free)
        ]


def paragraphs(page: str) -> list[Paragraph]:
    """The paragraphs of a page that are written by hand, with their notes."""
    page = _BLOCK.sub(_blank, without_code(page))
    notes = [(note.start(), _claims(note["lines"], _line(page, note.start()) + 1)) for note in _NOTE.finditer(page)]
    for pattern in _HIDDEN:
        page = pattern.sub(_blank, page)
    places = [found.span() for found in re.finditer(r"(?:^.*\S.*$\n?)+", page, re.MULTILINE)]
    made = []
    for number, (start, end) in enumerate(places):
        until = places[number + 1][0] if number + 1 < len(places) else len(page) + 1
        mine = tuple(claim for place, claims in notes if start <= place < until for claim in claims)
        made.append(Paragraph(_line(page, start), page[start:end], mine))
    return made


def without_code(page: str) -> str:
    """A page with spaces in place of its code, so that everything else stays in its place."""
    for pattern in _CODE:
        page = pattern.sub(_blank, page)
    return page


def says(number: str, value: float) -> bool:
    """Whether a number in prose is this value, rounded to its decimals; one without a sign leaves it to the words."""
    if number[0] in "+-" and value and (value < 0) != (number[0] == "-"):
        return False
    digits = number.strip("+-%").replace(",", "")
    decimals = len(digits.partition(".")[2])
    shown = abs(value) * (100 if number.endswith("%") else 1)
    return abs(shown - float(digits)) <= 0.5 * 0.1**decimals * (1 + 1e-6)


def _claims(lines: str, first: int) -> list[Claim]:
    """The lines of a note; a line that is none of the two kinds is a claim without reason, which nothing accepts."""
    made = []
    for number, line in enumerate(lines.splitlines(), first):
        if found := _CLAIM.fullmatch(line.strip()):
            numbers = tuple(re.split(r",\s+", found["numbers"]))
            value = found["value"].strip()
            made.append(Claim(number, numbers, *((value, "") if found["sign"] == "=" else ("", value))))
        elif line.strip():
            made.append(Claim(number, (line.strip(),)))
    return made


def _line(page: str, place: int) -> int:
    """The line that a character stands in, from 1."""
    return page.count("\n", 0, place) + 1


def _blank(found: re.Match[str]) -> str:
    """As many line ends, and a space for everything else, so that places stay what they were."""
    return re.sub(r"[^\n]", " ", found[0])
