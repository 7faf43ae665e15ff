"""Finds which parts of a prompt are slices of a text, so that a call can be traced to the places it was shown."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 32
"""Characters that a slice has at least; shorter ones may stand anywhere."""
_STRIDE = 8
_MOST_MISSES = 500


@dataclass(frozen=True)
class Slice:
    """``prompt[start:end]`` equals the text from ``at`` on."""

    start: int
    end: int
    at: int


def located(prompt: str, text: str) -> list[Slice]:
    """Slices of ``text`` that ``prompt`` holds, in order and apart; a longer one that stands there twice counts first.

    A probe is moved over the prompt; where the text has it, the match is made as long as it can be. After so many
    probes without a match the search ends.
    """
    found: list[Slice] = []
    at = misses = floor = 0
    while at + LEAST <= len(prompt) and misses < _MOST_MISSES:
        place = text.find(prompt[at : at + LEAST])
        if place < 0:
            at, misses = at + _STRIDE, misses + 1
            continue
        back = _shared_end(prompt[floor:at], text[max(0, place - (at - floor)) : place])
        ahead = LEAST + _shared_start(prompt[at + LEAST :], text[place + LEAST : place + len(prompt) - at])
        found.append(Slice(at - back, at + ahead, place - back))
        at = floor = at + ahead
    return found


def _shared_start(one: str, other: str) -> int:
    """Characters that both begin with, by bisection: comparing slices is fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _shared_end(one: str, other: str) -> int:
    return _shared_start(one[::-1], other[::-1])
