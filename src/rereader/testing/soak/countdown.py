"""Ends a process with SIGKILL before its n-th access to a store, so that a kill can be put anywhere and made again."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from typing import Any

_FILES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link"})
_WRITING = os.O_WRONLY | os.O_RDWR


class Countdown:
    """Counts every SQL statement, and every file that is opened for writing, renamed, cut or removed.

    Args:
        last: The access before which the process ends; 0 for never.
    """

    def __init__(self, last: int = 0) -> None:
        self.count = 0
        self._last = last

    def begin(self) -> None:
        """Count in this process from now on; it cannot be undone, so it belongs in a process of its own."""
        connect = sqlite3.connect

        def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda _statement: self._tick())
            return connection

        sqlite3.__dict__["connect"] = watched
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FILES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
            self._tick()

    def _tick(self) -> None:
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
