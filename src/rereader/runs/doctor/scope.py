"""What a check may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rereader.config import Config
from rereader.memory.care.depth import unheard
from rereader.schema.events import Listener
from rereader.schema.findings import Finding


def say_nothing(_text: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Scope:
    """The configuration under examination.

    Args:
        config: Workspace, models folder, endpoints, device.
        measure: Measure speeds and hash every file, which takes minutes; otherwise what was measured before is shown.
        tell: Told in a few words what a long check is at.
        listen: Told how far a long check of the workspace has come.
        repaired: Whether all that can be mended in the workspace was mended just now.
    """

    config: Config
    measure: bool = False
    tell: Callable[[str], None] = say_nothing
    listen: Listener = unheard
    repaired: bool = False


Check = Callable[[Scope], list[Finding]]
