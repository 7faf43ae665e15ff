"""How sure the program is of an answer. Declining is its decision, not the model's mood.

A logistic model over four signals that cost no model call. Its weights were fitted on the development split of the
needles and book questions (``scripts/fit_confidence``); docs/results holds the rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

_BIAS = -5.0
_WEIGHTS = {"similarity": 3.0, "coverage": 5.0, "support": 1.0, "logprob": 0.5}


@dataclass(frozen=True)
class Signals:
    """What speaks for an answer.

    Args:
        similarity: Best cosine between the question and a quote.
        coverage: Share of the question's words, by rarity, that the quotes hold.
        support: Share of the answer's words that a cited quote carries.
        logprob: Mean log-probability of the answer's tokens; 0 without a model.
    """

    similarity: float
    coverage: float
    support: float
    logprob: float

    def rounded(self) -> dict[str, float]:
        """For the step's detail."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def confidence(signals: Signals) -> float:
    """Probability (0 to 1) that the answer is right and stated in the documents."""
    total = _BIAS + sum(weight * getattr(signals, name) for name, weight in _WEIGHTS.items())
    return 1.0 / (1.0 + math.exp(-total))
