"""What counts as a token for a scripted model: a word or one punctuation mark."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\w+|[^\w\s]")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Characters ``[start, end)`` of each word and punctuation mark."""
    return [found.span() for found in TOKEN.finditer(text)]
