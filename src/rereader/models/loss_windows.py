"""Overlapping windows in which the loss of every token of a text is found after a bounded context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LossWindow:
    """Tokens ``[start, end)`` of a text that are read together; of those the losses from ``first`` on count."""

    start: int
    first: int
    end: int

    @property
    def read(self) -> int:
        """Tokens that go through the model: all but the last, after which nothing is asked."""
        return self.end - self.start - 1


def loss_windows(total: int, length: int, first: int = 0, opened: bool = False) -> list[LossWindow]:
    """Windows in which each of ``total`` tokens from ``first`` on counts once.

    A token comes after at most ``length`` tokens of its window, and after at least half as many or all there are.

    Args:
        total: Tokens of the text.
        length: Most tokens of context.
        first: Tokens before it need no loss; windows that hold only such ones are left out.
        opened: Whether something stands before the text's first token, so that it has a loss, too.
    """
    step = max(1, length // 2)
    found: list[LossWindow] = []
    begin, counted = 0, 0 if opened else 1
    while counted < total:
        end = min(begin + length + 1, total)
        if end > first:
            found.append(LossWindow(begin, max(counted, first), end))
        begin, counted = begin + step, end
    return found


def tokens_read(total: int, lengths: Sequence[int], first: int = 0) -> int:
    """Tokens that go through a model for the losses of a text with contexts of several lengths."""
    return sum(window.read for length in lengths for window in loss_windows(total, length, first))
