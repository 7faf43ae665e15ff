"""Cut a row of paragraphs into pages: where a page may end, and what happens where it is not chosen.

After ReadAgent (arXiv 2402.09727, section 3.1, and the published notebook).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_LABEL = re.compile(r"<\s*(\d{1,6})\s*>")
_NUMBER = re.compile(r"\d+")

Pick = Callable[[int, int, Sequence[int]], int]
"""First paragraph of the page before, first one of this page, and its possible ends; gives one's position."""


@dataclass(frozen=True)
class Limits:
    """Sizes of a page in words; what is left of a document is its last page if it is below ``rest``."""

    least: int
    most: int
    rest: int


def page_ends(sizes: Sequence[int], limits: Limits, pick: Pick) -> list[int]:
    """Cut paragraphs into pages; page ``i`` ends before paragraph ``page_ends(...)[i]``.

    Args:
        sizes: Words of each paragraph.
        limits: Sizes of a page.
        pick: Chooses one of several possible ends; a single one is taken without asking.
    """
    ends: list[int] = []
    before = start = 0
    left = sum(sizes)
    while start < len(sizes):
        possible = [len(sizes)] if left < limits.rest else possible_ends(sizes, start, limits)
        end = possible[pick(before, start, possible)] if len(possible) > 1 else possible[0]
        ends.append(end)
        left -= sum(sizes[start:end])
        before, start = start, end
    return ends


def possible_ends(sizes: Sequence[int], start: int, limits: Limits) -> list[int]:
    """Where a page that begins at ``start`` may end: after ``least`` words, and before it would pass ``most``.

    A page has one paragraph at least, however long.
    """
    ends: list[int] = []
    held, end = 0, start
    while end < len(sizes) and (end == start or held + sizes[end] <= limits.most):
        held += sizes[end]
        end += 1
        if held >= limits.least:
            ends.append(end)
    return ends if ends and ends[-1] == end else [*ends, end]


def thinned(count: int, most: int) -> list[int]:
    """Positions of at most ``most`` of ``count`` things, evenly spread, the last one among them."""
    if count <= most:
        return list(range(count))
    return [(i + 1) * count // most - 1 for i in range(most)]


def parse_label(reply: str, count: int) -> int | None:
    """Position of the label (a number from 1) that a reply names; ``None`` if there is no such label.

    What stands in angle brackets counts, else the first number.
    """
    found = _LABEL.search(reply)
    named = found[1] if found else next(iter(_NUMBER.findall(reply)), "0")
    number = int(named) if len(named) <= len(str(count)) else 0
    return number - 1 if 1 <= number <= count else None
