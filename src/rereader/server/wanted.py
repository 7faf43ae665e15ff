"""Which models a piece of work needs, and how a session with them is opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from rereader.models.roles import RoleNames
from rereader.runs.session import Session


@dataclass(frozen=True)
class Wanted:
    """The models that a piece of work needs.

    Args:
        names: The model of each role.
        stored: Whether the names are those of a stored run, which say themselves what runs each model.
        counted_by: The models whose tokens the documents were cut by, where it was others.
    """

    names: RoleNames
    stored: bool = False
    counted_by: RoleNames | None = None


OpenSession = Callable[[Wanted], AbstractContextManager[Session]]
"""Opens a session; one thread at a time uses it, and it loads a model when it first needs it."""
