"""Fusing rankings whose scores have different scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key")


@dataclass(frozen=True)
class Ranking(Generic[Key]):
    """Scores of what was found (higher is better).

    Args:
        scores: Score by key.
        weight: Weight of the standardised score in a sum.
        absent: Score of a key that was not found; ``None`` takes the lowest score of those that were.
    """

    scores: Mapping[Key, float]
    weight: float = 1.0
    absent: float | None = None

    def z_scores(self, keys: Sequence[Key]) -> dict[Key, float]:
        """Standardise over ``keys``; all zero when the scores do not differ."""
        if not self.scores or not keys:
            return dict.fromkeys(keys, 0.0)
        absent = min(self.scores.values()) if self.absent is None else self.absent
        values = np.array([self.scores.get(key, absent) for key in keys], dtype=np.float64)
        spread = float(values.std())
        if spread == 0.0:
            return dict.fromkeys(keys, 0.0)
        return dict(zip(keys, ((values - values.mean()) / spread).tolist(), strict=True))


def fuse(rankings: Sequence[Ranking[Key]], keys: Sequence[Key] | None = None) -> dict[Key, float]:
    """Weighted sum of z-scores over ``keys``, by default all that any ranking found (higher is better)."""
    if keys is None:
        keys = list(dict.fromkeys(key for ranking in rankings for key in ranking.scores))
    parts = [(ranking.weight, ranking.z_scores(keys)) for ranking in rankings]
    return {key: sum(weight * part[key] for weight, part in parts) for key in keys}
