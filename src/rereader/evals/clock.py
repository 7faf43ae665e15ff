"""Seconds by part, with a device's work waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Adds up what blocks of code take.

    Args:
        device: ``cuda`` waits for the device at the beginning and the end of a block.
    """

    def __init__(self, device: str) -> None:
        self.parts: dict[str, float] = {}
        self._device = device

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the seconds of a block to a part."""
        started = self._now()
        yield
        self.parts[part] = self.parts.get(part, 0.0) + self._now() - started

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
