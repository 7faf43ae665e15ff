"""Errors of our own hierarchy: one clear line, a hint that says how to mend it, an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class RereaderError(Exception):
    """Base of every error that Rereader raises on purpose.

    Args:
        message: What is wrong, in one line.
        hint: How to mend it, in one line; may be empty.
    """

    exit_code = 1
    run_id: str = ""
    """The run that it ended, if it ended one."""
    finished: Mapping[int, Any] = MappingProxyType({})
    """What a batch had done before it failed, by position: it was paid for."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(RereaderError):
    """The user's input (a file, a question, a setting) cannot be used."""

    exit_code = 2


class NotThere(InputError):
    """What the input names does not exist: a run, a step, a document."""


class AtWork(InputError):
    """What the input names is being worked on and has to be waited for."""


class MissingExtra(InputError):
    """An optional dependency is needed and not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(
            f"{feature} needs packages that are not installed.",
            f"Install them with: pip install 'rereader[{extra}]'",
        )


class BudgetSpent(RereaderError):
    """A hard limit on tokens, calls or seconds would be passed."""

    exit_code = 3


class ModelError(RereaderError):
    """A model could not be loaded, or failed while running."""

    exit_code = 5


class StoreError(RereaderError):
    """The workspace cannot be read or written (read-only, full, damaged, newer schema)."""

    exit_code = 2


class Busy(StoreError):
    """Somebody else writes to the workspace for too long."""


class Damaged(StoreError):
    """A file of the workspace is damaged; not that it is busy, out of room, of another version or somebody else's."""


class Interrupted(RereaderError):
    """The user stopped the work; what is finished is stored and the run can be resumed."""

    exit_code = 130
