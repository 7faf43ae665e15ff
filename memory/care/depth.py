"""How much a check reads, and how it says how far it has come."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rereader.schema.events import Listener, Progress

_EVERY_SECONDS = 1.0
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
