"""The same questions at several lengths: each score at each length, and what the longest loses against the shortest."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.evals.cells import MISSING, interval, with_interval
from rereader.evals.intervals import paired_difference
from rereader.evals.rows import Row

SCORES = {"evidence_recall": "Evidence recall", "right": "Right"}
Values = dict[tuple[int, str], float]
"""A score by seed and question."""


def length_tables(rows: Sequence[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and lines of a table for each score; none unless questions were asked at several lengths."""
    asked = [row for row in rows if row.get("base")]
    lengths = sorted({row["length"] for row in asked})
    if len(lengths) < 2:
        return []
    header = ["system", "n", *(f"{length:,}" for length in lengths), f"{lengths[-1]:,} minus {lengths[0]:,}, paired"]
    tables = []
    for score, title in SCORES.items():
        lines = [_line(asked, system, score, lengths) for system in dict.fromkeys(row["system"] for row in asked)]
        if any(line[1] != "0" for line in lines):
            tables.append((f"{title} by length, same questions", header, lines))
    return tables


def _line(rows: Sequence[Row], system: str, score: str, lengths: Sequence[int]) -> list[str]:
    """``n`` counts the questions that were scored at both ends."""
    found = {length: _values(rows, system, score, length) for length in lengths}
    first, last = found[lengths[0]], found[lengths[-1]]
    both = [name for name in first if name in last]
    gain = paired_difference([last[name] for name in both], [first[name] for name in both])
    shown = [interval(list(found[length].values())) for length in lengths]
    return [system, str(len(both)), *shown, MISSING if gain is None else with_interval(gain, "+.3f")]


def _values(rows: Sequence[Row], system: str, score: str, length: int) -> Values:
    mine = (row for row in rows if row["system"] == system and row["length"] == length)
    scored = ((row, row["scores"].get(score)) for row in mine)
    return {(row["seed"], row["base"]): value for row, value in scored if value is not None}
