"""From the attention of a question's tokens to scores of the parts of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rereader.models.base import Attention, Float32Array

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


@dataclass(frozen=True)
class Cue:
    """Which tokens of a question count, and how.

    Args:
        last: So many tokens at the prompt's end, later ones more; 0 takes the mean of the question's own tokens.
        decay: Weight of what the tokens before have seen, beside that of the next one.
    """

    last: int = 0
    decay: float = 0.75

    @property
    def name(self) -> str:
        """What tells it from other cues."""
        return f"last {self.last} by {self.decay}" if self.last else "question's tokens"

    def of(self, found: Attention, question: Sequence[tuple[int, int]]) -> Float32Array:
        """Attention to every token of the prompt: float32 [tokens]; ``question`` are its token ranges."""
        if self.last:
            return decayed(found.by_query[-self.last :], self.decay)
        before = len(found.ids) - len(found.by_query)
        tokens = [token - before for start, end in question for token in range(start, end)]
        row: Float32Array = found.by_query[tokens].mean(0)
        return row


def decayed(rows: Float32Array, decay: float) -> Float32Array:
    """A running score over tokens that come one by one, as ReContext has it (arXiv 2607.02509).

    Args:
        rows: What each token looks at: float32 [queries, tokens].
        decay: Weight of the score so far.

    Returns:
        float32 [tokens], summing to 1.
    """
    score = np.zeros(rows.shape[1], dtype=np.float32)
    for row in rows:
        score = row + decay * score
        score = score / score.sum()
    return score
