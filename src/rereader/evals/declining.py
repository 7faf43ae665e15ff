"""How well confidence tells questions that a text answers from those that it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.evals.intervals import auroc

FALSE_DECLINES = 0.1
"""The share of answerable questions that may be declined by mistake."""


@dataclass(frozen=True)
class Declining:
    """Declining, measured on questions of both kinds.

    Args:
        auroc: Chance that an answerable question has the higher confidence, ties counted half.
        caught: Share of unanswerable questions declined by the threshold that declines the most of them while at
            most a tenth of the answerable ones is declined.
        threshold: Confidence below which that happens.
        always: Share of right decisions of whoever declines every question.
        never: Share of right decisions of whoever declines none.
        questions: Questions in all.
    """

    auroc: float
    caught: float
    threshold: float
    always: float
    never: float
    questions: int


def measure_declining(confidences: Sequence[float], answerable: Sequence[bool]) -> Declining | None:
    """Measure declining by a threshold on confidence; ``None`` unless there are questions of both kinds.

    The threshold is found on the questions it is measured on, so ``caught`` flatters: compare systems by it, do not
    take it for what a threshold fixed before would reach.
    """
    area = auroc(confidences, answerable)
    if area is None:
        return None
    sure = sorted(one for one, known in zip(confidences, answerable, strict=True) if known)
    unsure = [one for one, known in zip(confidences, answerable, strict=True) if not known]
    threshold = sure[int(FALSE_DECLINES * len(sure))]
    caught = sum(one < threshold for one in unsure) / len(unsure)
    always = len(unsure) / len(confidences)
    return Declining(area, caught, threshold, always, 1 - always, len(confidences))
