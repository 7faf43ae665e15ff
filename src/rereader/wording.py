"""Numbers and nouns put into words."""

from __future__ import annotations


def plural(number: int, noun: str, many: str = "") -> str:
    """``1 call``, ``2,000 calls``; a plural that does not end in *s* is named: ``plural(2, "entry", "entries")``."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
