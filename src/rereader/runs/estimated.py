"""What a run was expected to take against what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.memory.runs import Step
from rereader.schema.usage import WAITING


@dataclass(frozen=True)
class Comparison:
    """What a run was expected to take and what it took, in seconds with the loading of models.

    What models waited for other processes, which nobody can foretell, is left out.
    """

    expected: float
    actual: float
    source: str

    @property
    def factor(self) -> float:
        """How far apart the two are, 1 at best."""
        least, most = sorted((max(self.expected, 1e-6), max(self.actual, 1e-6)))
        return most / least


def compare(steps: Sequence[Step]) -> Comparison | None:
    """Estimate against actual of a finished run; ``None`` for runs that were not estimated."""
    kept = steps[0].detail.get("estimate") if steps else None
    if not kept:
        return None
    waited = sum(step.usage.seconds.get(WAITING, 0.0) for step in steps)
    actual = sum(step.seconds for step in steps) - waited + float(kept.get("loaded_before", 0.0))
    return Comparison(float(kept["seconds"]), actual, kept["source"])
