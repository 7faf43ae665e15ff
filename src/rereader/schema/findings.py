"""What a check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rereader.schema.wording import counted

State = Literal["ok", "mended", "note", "warning", "problem"]
"""``note`` is worth knowing, ``warning`` may cost something, ``problem`` stops something from working; ``mended`` was
one of the two."""
SHOWN = 3
"""How many of the things that are wrong are named."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: What was found, in one line.
        state: How bad it is.
        mend: A command or a step that mends it; empty where nothing is to be done.
        detail: What it was found by, line by line, for whoever asks.
    """

    what: str
    state: State = "ok"
    mend: str = ""
    detail: tuple[str, ...] = ()


Noun = tuple[str, str]
"""What one thing is called after its number, and what several are."""


def verdict(good: str, bad: Noun, wrong: Sequence[str], mend: str, state: State = "problem") -> list[Finding]:
    """What a check of many things found.

    Args:
        good: Said if nothing is wrong; if it is empty, nothing is said then.
        bad: What is wrong with one and with several, after their number and before the first of them.
        wrong: Names of those.
        mend: How to mend them.
        state: How bad that is.
    """
    if not wrong:
        return [Finding(good)] if good else []
    return [Finding(f"{counted(len(wrong), *bad)}: {listed(wrong)}", state, mend)]


def listed(names: Sequence[str]) -> str:
    """The first few of some names."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
