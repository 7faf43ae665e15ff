"""What the work of a step is charged to and written in, and what ends it: the user, or the budget's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rereader.memory.runs import Call
from rereader.models.base import Cancel, Prompt
from rereader.prompts.loader import prompt_sha256
from rereader.schema import BudgetMeter, Interrupted, Usage


@dataclass(frozen=True)
class Done:
    """Work that a step did itself, none of it from a cache, and how long it took; see ``costs.Work`` for the units."""

    kind: str
    model: str
    seconds: float
    amount: float = 0.0
    written: int = 0
    calls: int = 0


class Stop(threading.Event):
    """Set when the user asks to stop, and when the budget's time is over: a model ends at its next token then."""

    def __init__(self, asked: Cancel, meter: BudgetMeter) -> None:
        super().__init__()
        self._asked = asked
        self._meter = meter

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._asked.is_set() or self._meter.out_of_time


@dataclass
class CallLog:
    """What the calls of a step are charged to and written in."""

    meter: BudgetMeter
    usage: Usage
    document_ids: tuple[str, ...]
    cancel: Cancel
    calls: list[Call] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    warn: Callable[[str], None] = field(default=lambda _text: None)
    paid: set[tuple[str, str]] = field(default_factory=set)
    """Method and prompt of what batches of this step had finished when they failed, in an earlier attempt at it."""

    def note(self, kind: str, model: str, started: float, *, amount: float, written: int = 0, calls: int = 0) -> None:
        """Write down finished work that began at ``started`` (``time.monotonic``)."""
        self.done.append(Done(kind, model, time.monotonic() - started, amount, written, calls))

    def paid_before(self, method: str, prompts: Sequence[Prompt]) -> set[int]:
        """Positions of the prompts that an earlier attempt at the step paid for, each told of once.

        They come from the cache, but the run has made them: they are charged as made.
        """
        if not self.paid:
            return set()
        asked = [(method, prompt_sha256(prompt)) for prompt in prompts]
        found = {i for i, one in enumerate(asked) if one in self.paid}
        self.paid.difference_update(asked)
        return found

    @contextmanager
    def stopping(self) -> Iterator[Cancel]:
        """What a model asks whether to stop.

        Raises:
            BudgetSpent: If it was the time that stopped the model.
            Interrupted: If it was the user.
        """
        try:
            yield Stop(self.cancel, self.meter)
        except Interrupted:
            if not self.cancel.is_set():
                self.meter.reserve(tokens=0, calls=0)
            raise
