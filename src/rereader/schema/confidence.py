"""What a confidence has been worth: how often answers that had one like it were right, when that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rereader.schema.answer import Answer

READER = "qwen2.5-coder-1.5b"
"""The reader that the answers were of."""


@dataclass(frozen=True)
class Band:
    """Answers with a confidence of ``least`` or more, up to the band before: how many, and the share (0 to 1) right."""

    least: float
    answers: int
    right: float


BANDS = (Band(0.9, 170, 0.43), Band(0.5, 208, 0.28), Band(0.0, 22, 0.14))
"""Test questions of needles and HotpotQA, all systems together (docs/measurements.md#what-a-confidence-says)."""


def confidence_words(answer: Answer) -> str:
    """The confidence of an answer and what it has been worth; empty where none was measured."""
    sure = answer.confidence
    if sure is None:
        return ""
    if answer.declined:
        return f"confidence {sure:.2f}"
    band = next(one for one in BANDS if sure >= one.least)
    return f"confidence {sure:.2f} (in tests {band.right:.0%} of such answers of {READER} were right)"


def bands_words() -> str:
    """What any confidence has been worth, in one sentence."""
    high, middle, low = BANDS
    return (
        f"in tests {high.right:.0%} of the answers of {READER} with a confidence of {high.least} or more were right, "
        f"{middle.right:.0%} of those with {middle.least} or more, {low.right:.0%} of the others"
    )
