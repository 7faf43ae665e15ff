"""Tables of what replaying evidence costs, from raw rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rereader.evals.rows import Row

_BASE = "full-context"
_REPLY = "reply"


def cost_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: for each length and way the seconds and their ratio to reading the text once.

    Seconds and ratios are medians over repeats; ratios are of one repeat each.
    """
    header = ["tokens", "way", "seconds", "of full-context", "without the reply", "parts (seconds)"]
    lines = []
    for length in dict.fromkeys(row["item"] for row in rows):
        mine = [row for row in rows if row["item"] == length]
        base = {row["seed"]: row["parts"] for row in mine if row["system"] == _BASE}
        for system in dict.fromkeys(row["system"] for row in mine):
            found = [row for row in mine if row["system"] == system and row["seed"] in base]
            totals = [_total(row["parts"]) for row in found]
            ratios = [_total(row["parts"]) / _total(base[row["seed"]]) for row in found]
            bare = [_total(row["parts"], reply=False) / _total(base[row["seed"]], reply=False) for row in found]
            parts = {name: median(row["parts"].get(name, 0.0) for row in found) for name in found[0]["parts"]}
            listed = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
            numbers = [f"{median(totals):.1f}", f"{median(ratios):.2f}", f"{median(bare):.2f}"]
            lines.append([f"{int(length):,}", system, *numbers, listed])
    return header, lines


def _total(parts: Mapping[str, float], *, reply: bool = True) -> float:
    return sum(seconds for name, seconds in parts.items() if reply or name != _REPLY)
