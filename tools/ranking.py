"""Adding up rankings of the same things."""

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
        weight: Weight in a sum.
        absent: Score of a key that was not found; ``None`` takes the lowest score of those that were.
    """

    scores: Mapping[Key, float]
    weight: float = 1.0
    absent: float | None = None

    def values(self, keys: Sequence[Key]) -> list[float]:
        """The score of each key; all zero when nothing was found."""
        if not self.scores:
            return [0.0] * len(keys)
        absent = min(self.scores.values()) if self.absent is None else self.absent
        return [self.scores.get(key, absent) for key in keys]

    def z_scores(self, keys: Sequence[Key]) -> list[float]:
        """The scores standardised over ``keys``; all zero when they do not differ."""
        values = np.array(self.values(keys), dtype=np.float64)
        spread = float(values.std()) if len(values) else 0.0
        if spread == 0.0:
            return [0.0] * len(keys)
        return ((values - values.mean()) / spread).tolist()  # type: ignore[no-any-return]


def add_up(rankings: Sequence[Ranking[Key]], keys: Sequence[Key] | None = None) -> dict[Key, float]:
    """Weighted sum of scores that are on one scale, over ``keys``, by default all that any ranking found."""
    if keys is None:
        keys = list(dict.fromkeys(key for ranking in rankings for key in ranking.scores))
    return _sum(keys, [(ranking.weight, ranking.values(keys)) for ranking in rankings])


def add_z_scores(rankings: Sequence[Ranking[Key]], keys: Sequence[Key]) -> dict[Key, float]:
    """Weighted sum of z-scores over ``keys``, for scores that are not on one scale."""
    return _sum(keys, [(ranking.weight, ranking.z_scores(keys)) for ranking in rankings])


def _sum(keys: Sequence[Key], parts: Sequence[tuple[float, Sequence[float]]]) -> dict[Key, float]:
    return {key: sum(weight * values[i] for weight, values in parts) for i, key in enumerate(keys)}
