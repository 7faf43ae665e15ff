"""What turns a gate's raw scores into decisions: a slope and an offset, thresholds for a wanted recall, a margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rereader.schema.errors import InputError
from rereader.schema.types import Frozen

WANTED = (0.90, 0.95, 0.98)
"""Recalls that thresholds are set for."""


class Calibration(Frozen):
    """Platt's scaling of raw scores, and what follows from it.

    Args:
        slope: Raw scores are multiplied by this,
        offset: and this is added, so that they are log-odds.
        thresholds: Log-odds at which a share of what is wanted passes, by that share (``0.95``).
        margin: How far log-odds move when the working memory grows: what lies within it of the threshold may change
            sides, the rest is not worth gating again.
    """

    slope: float = Field(gt=0, allow_inf_nan=False)
    offset: float = Field(allow_inf_nan=False)
    thresholds: Mapping[str, float] = Field(min_length=1)
    margin: float = Field(ge=0, allow_inf_nan=False)

    def log_odds(self, raw: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Raw scores as log-odds."""
        return np.asarray(raw, dtype=np.float64) * self.slope + self.offset

    def threshold(self, recall: float) -> float:
        """The log-odds above which that share of what is wanted lies.

        Raises:
            InputError: If none was set for this recall.
        """
        for wanted, value in self.thresholds.items():
            if abs(float(wanted) - recall) < 1e-9:
                return value
        msg = f"The trained gate has no threshold for a recall of {recall:g}."
        raise InputError(msg, f"Choose one of {', '.join(self.thresholds)} as gate_recall.")


def probability(log_odds: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log-odds as probabilities, 0 to 1."""
    return 1.0 / (1.0 + np.exp(-np.clip(np.asarray(log_odds, dtype=np.float64), -60.0, 60.0)))
