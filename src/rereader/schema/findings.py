"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "problem"]
"""``note`` is worth knowing, ``warning`` may cost something, ``problem`` stops something from working."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: What was found, in one line.
        state: How bad it is.
        mend: A command or a step that mends it; empty where nothing is to be done.
    """

    what: str
    state: State = "ok"
    mend: str = ""
