"""From the attention of a question's tokens to scores of the parts of a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
NOISE = 2.0
"""Tokens so many standard deviations below the mean of their part do not count."""


def part_masses(rows: Float32Array, parts: Sequence[tuple[int, int]], null: Float32Array | None = None) -> Float32Array:
    """Attention that each part of a text gets, as QRHead counts it (arXiv 2506.09944).

    What an empty question looks at is subtracted first, which takes away the pull of the text's beginning and of
    punctuation; then the tokens of a part are summed, without those far below the part's mean.

    Args:
        rows: Attention to every token: float32 [heads, tokens].
        parts: Token range ``[start, end)`` of each part.
        null: The same for an empty question; ``None`` subtracts nothing.

    Returns:
        float32 [heads, parts]; an empty part has 0.
    """
    masses = np.zeros((len(rows), len(parts)), dtype=np.float32)
    for place, (start, end) in enumerate(parts):
        if end <= start:
            continue
        values = rows[:, start:end] - (0.0 if null is None else null[:, start:end])
        if null is not None:
            floor = values.mean(1, keepdims=True) - NOISE * values.std(1, keepdims=True)
            values = np.where(values >= floor, values, 0.0)
        masses[:, place] = values.sum(1)
    return masses
