"""A hard budget: reserved before each batch, so that it cannot be overrun."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pydantic import Field

from rereader.schema.errors import BudgetSpent
from rereader.schema.types import Frozen


class Budget(Frozen):
    """Limits of one run; ``None`` means unlimited.

    ``tokens`` counts prompt and completion tokens, as if nothing were cached; ``seconds`` is wall-clock time.
    """

    tokens: int | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)


class BudgetMeter:
    """Counts against a :class:`Budget`; safe to use from several threads.

    Args:
        budget: The limits.
        spent_tokens: Tokens spent before (a resumed run).
        spent_calls: Calls made before.
        spent_seconds: Seconds used before.
        clock: Monotonic clock in seconds; replaced in tests.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        spent_tokens: int = 0,
        spent_calls: int = 0,
        spent_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.tokens = spent_tokens
        self.calls = spent_calls
        self._clock = clock
        self._started = clock() - spent_seconds
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds used so far."""
        return self._clock() - self._started

    @property
    def out_of_time(self) -> bool:
        """Whether the budget's seconds have passed."""
        return self.budget.seconds is not None and self.seconds >= self.budget.seconds

    def reserve(self, *, tokens: int, calls: int = 1) -> None:
        """Set ``tokens`` (prompt plus the most that may be generated) and ``calls`` aside.

        Raises:
            BudgetSpent: If any limit would be passed; then nothing is reserved.
        """
        with self._lock:
            self._check("tokens", self.tokens + tokens, self.budget.tokens)
            self._check("calls", self.calls + calls, self.budget.calls)
            if self.out_of_time:
                self._refuse("seconds", f"{self.seconds:.1f} have passed", f"{self.budget.seconds:g}")
            self.tokens += tokens
            self.calls += calls

    def charge(self, *, tokens: int, calls: int) -> None:
        """Count what was spent before, whatever the limits are."""
        with self._lock:
            self.tokens += tokens
            self.calls += calls

    def refund(self, *, tokens: int) -> None:
        """Give back reserved tokens that were not used."""
        with self._lock:
            self.tokens -= tokens

    def _check(self, what: str, wanted: int, limit: int | None) -> None:
        if limit is not None and wanted > limit:
            self._refuse(what, f"the next batch needs {wanted:,} in all", f"{limit:,}")

    @staticmethod
    def _refuse(what: str, why: str, limit: str) -> None:
        msg = f"The budget of {limit} {what} is spent ({why})."
        raise BudgetSpent(msg, f"Raise it with --max-{what}.")
