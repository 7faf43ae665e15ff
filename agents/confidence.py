"""How much speaks for an answer. Declining is the program's decision, not the model's mood.

A logistic model over four signals that cost no model call. Its weights are set by hand, since the development split has
too few questions without an answer to fit them; ``scripts/fit_confidence`` prints fitted ones for more data. They are
to tell questions that the text answers from those that it does not; whether the reader made the right answer of it is
another thing (:mod:`rereader.schema.confidence` has how often it did). docs/measurements.md says how well both go.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

_BIAS = -1.5
_WEIGHTS = {"similarity": 1.0, "coverage": 3.0, "support": 1.0, "logprob": 1.0, "lift": 0.0}


@dataclass(frozen=True)
class Signals:
    """What speaks for an answer.

    Args:
        similarity: Best cosine between the question and a quote.
        coverage: Share of the question's words, by rarity, that the two best quotes hold.
        support: Share of the answer's words that a cited quote carries.
        logprob: Mean log-probability of the answer's tokens; 0 without a model.
        lift: How much likelier the answer's tokens are after the question than after an empty one, in nats a token; 0
            if that was not asked for.
    """

    similarity: float
    coverage: float
    support: float
    logprob: float
    lift: float = 0.0

    def rounded(self) -> dict[str, float]:
        """For the step's detail."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


_MOST = 60.0
"""Beyond this nothing changes; a server may give a token a log-probability of -9999."""


def confidence(signals: Signals) -> float:
    """How much speaks for the answer being stated in the documents, 0 to 1; not the chance that it is right."""
    total = _BIAS + sum(weight * getattr(signals, name) for name, weight in _WEIGHTS.items())
    return 1.0 / (1.0 + math.exp(-max(-_MOST, min(_MOST, total))))
