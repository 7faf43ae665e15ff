"""Attention that a script can have: a token looks at the same word in the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rereader.models.base import Attention, Head, Prompt
from rereader.models.scripted_kv import shown
from rereader.models.scripted_words import TOKEN
from rereader.schema.errors import InputError

HEADS = (Head(0, 0), Head(0, 1))
_LONGEST_DULL = 3
_PULL = 100.0
"""Weight of the same word beside that of any other token."""


def word_attention(prompt: Prompt, heads: Sequence[Head]) -> Attention:
    """Rows of heads that are all alike.

    Every token weighs 1; a word of more than three letters weighs a hundred times more where it stands in the text.

    Raises:
        InputError: If a head does not exist, or no segment with a text after it is cacheable.
    """
    if not heads or set(heads) - set(HEADS):
        raise InputError("A scripted model has the heads 0-0 and 0-1, and one of them must be named.")
    words: list[str] = []
    ranges: list[tuple[int, int]] = []
    length = 0
    for segment in prompt:
        start = len(words)
        words += [found.lower() for found in TOKEN.findall(shown(segment))]
        ranges.append((start, len(words)))
        if segment.cacheable:
            length = len(words)
    if not 0 < length < len(words):
        raise InputError("No segment of the prompt with words after it is cacheable.")
    rows = np.zeros((len(words) - length, len(words)), dtype=np.float32)
    for place, word in enumerate(words[length:]):
        row = rows[place, : length + place + 1]
        row[:] = 1
        if len(word) > _LONGEST_DULL:
            row[:length][[other == word for other in words[:length]]] = _PULL
        row /= row.sum()
    by_head = np.tile(rows.mean(0), (len(heads), 1))
    peaks = np.tile(rows.argmax(1), (len(heads), 1))
    return Attention(rows, by_head, peaks, tuple(ranges), tuple(range(len(words))), len(words))
