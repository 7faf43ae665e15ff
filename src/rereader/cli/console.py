"""Where output goes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console

from rereader.models.base import Cancel

_PIPE_WIDTH = 10_000


def output() -> Console:
    """Results: in colour on a terminal (unless NO_COLOR is set), plain whole lines in a pipe."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def notes() -> Console:
    """Progress, warnings, errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def complain(message: str, hint: str) -> None:
    """Say in one line what is wrong and how to mend it."""
    line = " ".join(f"error: {message} {hint}".split())
    notes().print(line, markup=False)


def print_json(value: Any) -> None:
    """Print a result as JSON, to the letter."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def interruptible() -> Iterator[Cancel]:
    """Let the first Ctrl-C stop at the next token and the second one exit at once."""
    cancel = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        notes().print("Stopping; press Ctrl-C again to exit at once.", markup=False)

    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)
