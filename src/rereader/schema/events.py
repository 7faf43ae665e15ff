"""What a run tells its listeners while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` units of a stage are finished; ``tokens`` were handled in ``seconds``."""

    stage: str
    done: int
    total: int
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Mean rate of the stage so far; 0 before anything was measured."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Expected seconds to the end of the stage, or ``None`` while nothing is finished."""
        if not self.done or self.seconds <= 0:
            return None
        return self.seconds / self.done * (self.total - self.done)


@dataclass(frozen=True)
class Event:
    """One typed event of a run: ``kind`` is begin, step, progress or warning."""

    kind: str
    run_id: str
    step: int = 0
    node: str = ""
    text: str = ""
    progress: Progress | None = None


class Listener(Protocol):
    """Receives progress; must return quickly and must not raise."""

    def __call__(self, progress: Progress, /) -> None:
        """Take note of how far a stage has come."""


Cancelled = Callable[[], bool]
