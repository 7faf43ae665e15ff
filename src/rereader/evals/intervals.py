"""Uncertainty: bootstrap intervals, paired differences, AUROC. Seeded, so a table made twice is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of ``n`` values and its 95% percentile-bootstrap interval ``[low, high]``."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """Mean with interval; ``None`` without values.

    Values are resampled one by one, as if independent. When all are equal the interval has no width, which for a
    handful of values says little: read it beside ``n``.
    """
    if not values:
        return None
    sample = np.asarray(values, dtype=np.float64)
    low, high = np.quantile(_resampled_means(sample, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sample.mean()), float(low), float(high), len(values))


def paired_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Interval | None:
    """Mean of ``first[i] - second[i]`` with interval: items are drawn, so each keeps its two values together."""
    return mean_interval([a - b for a, b in zip(first, second, strict=True)], seed)


def auroc(scores: Sequence[float], positive: Sequence[bool], weights: Sequence[float] | None = None) -> float | None:
    """Chance that a positive has a higher score than a negative, ties counted half; ``None`` if a class is empty.

    Mann-Whitney U over the product of the class sizes.

    Args:
        scores: The scores.
        positive: Which of them are positives.
        weights: How many each stands for; one by default.
    """
    values, chosen = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
    counts = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if chosen.all() or not chosen.any():
        return None
    order = np.argsort(values[~chosen])
    below = values[~chosen][order]
    reached = np.concatenate([[0.0], np.cumsum(counts[~chosen][order])])
    beaten = reached[np.searchsorted(below, values[chosen], side="left")]
    not_lost = reached[np.searchsorted(below, values[chosen], side="right")]
    return float(np.average((beaten + not_lost) / 2, weights=counts[chosen]) / reached[-1])


def _resampled_means(sample: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of resamples with replacement: float64 [RESAMPLES]."""
    rng = np.random.default_rng(seed)
    return np.asarray(sample[rng.integers(0, len(sample), (RESAMPLES, len(sample)))].mean(axis=1))
