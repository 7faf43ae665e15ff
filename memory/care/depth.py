"""How much a check reads, and how it says how far it has come."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rereader.schema.events import Listener, Progress

_EVERY_SECONDS = 1.0
_MB = 1e6
_T = TypeVar("_T")


def unheard(_progress: Progress) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Depth:
    """How much a check reads.

    Args:
        whole: Everything, to the byte; otherwise a sample.
        listen: Is told how far a long check has come.
    """

    whole: bool = False
    listen: Listener = unheard


def paced(stage: str, items: Collection[_T], listen: Listener) -> Iterator[_T]:
    """The same items, with their progress told about once a second."""
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= _EVERY_SECONDS:
            last = now
            listen(Progress(stage, done, len(items), seconds=now - started))
        yield item


class Meter:
    """Says about once a second how many of so many bytes are done.

    Args:
        stage: What is done.
        total: Bytes in all.
        listen: Is told, in MB.
    """

    def __init__(self, stage: str, total: int, listen: Listener) -> None:
        self._stage, self._total, self._listen = f"{stage} (MB)", total, listen
        self._done = 0
        self._started = self._last = time.monotonic()

    def advance(self, size: int) -> None:
        """So many bytes more are done."""
        self._done += size
        now = time.monotonic()
        if now - self._last >= _EVERY_SECONDS:
            self._last = now
            done, total = (round(value / _MB) for value in (self._done, max(self._done, self._total)))
            self._listen(Progress(self._stage, done, total, seconds=now - self._started))
