"""How a cost grows with the length of a text: the exponent of a power law, fitted to measured points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for a two-sided 95% interval with 1 to 10 degrees of freedom."""
_NORMAL = 1.96


@dataclass(frozen=True)
class Exponent:
    """``cost ~ length ** value``, with the 95% interval of least squares on logarithms over ``n`` points."""

    value: float
    low: float
    high: float
    n: int


def fit_exponent(lengths: Sequence[float], costs: Sequence[float]) -> Exponent | None:
    """The exponent; ``None`` for fewer than three points or lengths, or a cost that is not above zero.

    The interval is that of the slope, by Student's t on ``n - 2`` degrees of freedom, so few points make it wide.
    """
    if len(set(lengths)) < 3 or min(costs) <= 0:
        return None
    x, y = np.log(np.asarray(lengths, dtype=np.float64)), np.log(np.asarray(costs, dtype=np.float64))
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    free = len(x) - 2
    error = float(np.sqrt(rest @ rest / free / (centred @ centred)))
    wide = error * (_QUANTILES[free - 1] if free <= len(_QUANTILES) else _NORMAL + 2.4 / free)
    return Exponent(slope, slope - wide, slope + wide, len(x))
