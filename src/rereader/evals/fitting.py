"""Makes a text of a wanted length out of units that can be counted off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rereader.schema.errors import InputError

TOLERANCE = 0.02
"""How far below the wanted length a text may end; it is never above."""
_TRIES = 40
_FIRST = 64
_AIM = 1 - TOLERANCE / 2
Made = TypeVar("Made")


def fit(make: Callable[[int], Made], size: Callable[[Made], int], wanted: int) -> Made:
    """Find units that make something of ``wanted`` size, at most 2% below it.

    ``size`` need not be quite even over units, but has to grow with them.

    Args:
        make: Makes a text of so many units, 0 or more.
        size: The size of a text.
        wanted: The size asked for.

    Raises:
        InputError: If the text without units is too long already, or units are too coarse for the tolerance.
    """
    low, below = 0, size(make(0))
    if below > wanted:
        raise InputError(f"{wanted:,} tokens are too few: what must be there takes {below:,}.", "Ask for more tokens.")
    high: int | None = None
    units = _FIRST
    for _ in range(_TRIES):
        made = make(units)
        found = size(made)
        if wanted * (1 - TOLERANCE) <= found <= wanted:
            return made
        if found > wanted:
            high = units
        else:
            low, below = units, found
        slope = max((found - below) / (units - low), 1e-6) if units != low else max(below / max(units, 1), 1e-6)
        units = _next(low, high, low + round((wanted * _AIM - below) / slope))
        if high is not None and high - low <= 1:
            break
    msg = f"No text of {wanted:,} tokens can be made within {TOLERANCE:.0%}."
    raise InputError(msg, "Ask for more tokens: what it is made of is too coarse for so few.")


def _next(low: int, high: int | None, guess: int) -> int:
    """A guess strictly between the bounds, no more than four times the lower one where there is no upper."""
    if high is None:
        return min(max(guess, low + 1), max(4 * low, low + _FIRST))
    return min(max(guess, low + 1), max(high - 1, low + 1))
