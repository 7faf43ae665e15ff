"""Where output goes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rereader.schema import InputError

if TYPE_CHECKING:
    from rereader.models.base import Cancel

_PIPE_WIDTH = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a text could steer a terminal with, turn the rest of a line round, or not be written as; tabs and line ends are
none of these."""


_UNESCAPED = re.compile(r"[\x7f-\x9f\ud800-\udfff]")
"""Control characters and halves of characters that JSON lets stand."""


def printable(text: str) -> str:
    """A text that steers no terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """A text without line ends: its white space folded, as quotes are shown."""
    return " ".join(text.split())


def shortened(text: str, most: int) -> str:
    """A text on one line, cut after ``most`` characters."""
    line = one_line(text)
    return line if len(line) <= most else line[:most] + "…"


class _Console(Console):
    """Writes what it is given as text: escape sequences are its own, never a document's."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with what steers a terminal taken out of every text."""
        for segment in super().render(renderable, options):
            clean = segment.control or not _CONTROL.search(segment.text)
            yield segment if clean else Segment(printable(segment.text), segment.style)


def output() -> Console:
    """Results: in colour on a terminal (unless NO_COLOR is set), plain whole lines in a pipe."""
    console = _Console(highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def notes() -> Console:
    """Progress, warnings, errors."""
    return _Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def complain(message: str, hint: str) -> None:
    """Say in one line what is wrong and how to mend it."""
    line = " ".join(f"error: {message} {hint}".split())
    notes().print(line, markup=False)


def print_json(value: Any) -> None:
    """Print a result as JSON, to the letter."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    sys.stdout.write(_UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


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


def agreed(question: str, otherwise: str) -> bool:
    """Whether the user says yes.

    Raises:
        InputError: If nobody is there to answer; its message is ``otherwise``.
    """
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as error:  # or Ctrl-C
        raise InputError(otherwise, "Add --yes to go on without being asked.") from error


@contextmanager
def at_once() -> Iterator[None]:
    """Let Ctrl-C end a question to the user, which nothing else would end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
