"""Tables of ``rereader bench memory``: what each way of reading finds, and how that differs from reading the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from rereader.evals.cells import MISSING, with_interval
from rereader.evals.intervals import LEVEL, RESAMPLES, Interval
from rereader.evals.result_table import item_of
from rereader.evals.rows import Row

BASE = "raw"
CHANCE = "random"
"""The scorer that every other one has to beat at its ratio."""
_SCORER = re.compile(r"(?<=\bblocks )\S+")
LEAST_GROUPS = 8
"""Of fewer paragraphs no interval is told: it would look far too narrow."""
Lines = tuple[list[str], list[list[str]]]


def memory_table(rows: Sequence[Row]) -> Lines:
    """Header and lines: one for each system."""
    header = ["read", "n", "log-probability", f"difference from {BASE}", f"difference from {CHANCE}"]
    header += ["contained", f"difference from {BASE}", "F1", "exact"]
    header += ["right paragraph", "places", "bytes per token", "seconds"]
    systems: dict[str, dict[tuple[int, str], Row]] = {}
    for row in rows:
        systems.setdefault(row["system"], {})[item_of(row)] = row
    base = systems.get(BASE, {})
    lines = []
    for system, found in systems.items():
        mine, chance = list(found.values()), systems.get(_SCORER.sub(CHANCE, system), {})
        line = [system, str(len(mine)), _mean(mine, "logprob")]
        line += [_gain(mine, base, "logprob"), _gain(mine, chance, "logprob")]
        line += [_mean(mine, "contained"), _gain(mine, base, "contained"), _mean(mine, "f1"), _mean(mine, "exact")]
        line += [_mean(mine, "chosen_right"), _mean(mine, "places", 0), _mean(mine, "bytes_per_token", 0)]
        lines.append([*line, _mean(mine, "seconds")])
    told = [place for place in range(len(header)) if any(line[place] != MISSING for line in lines)]
    return [header[place] for place in told], [[line[place] for place in told] for line in lines]


def memory_kinds(rows: Sequence[Row], field: str) -> Lines:
    """Header and lines: the difference of a field from reading the text, for each kind of answer."""
    kinds = sorted({row["kind"] for row in rows})
    base = {item_of(row): row for row in rows if row["system"] == BASE}
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        parts = [[row for row in rows if row["system"] == system and row["kind"] == kind] for kind in kinds]
        cells = [_mean(part, field) if system == BASE else _gain(part, base, field) for part in parts]
        if set(cells) != {MISSING}:
            lines.append([system, *cells])
    counts = [sum(row["kind"] == kind for row in base.values()) for kind in kinds]
    return ["read", *(f"{kind} ({count})" for kind, count in zip(kinds, counts, strict=True))], lines


def grouped_interval(values: Sequence[tuple[str, float]], seed: int = 0) -> Interval | None:
    """Mean of values with an interval; groups are drawn with replacement, for values of a group are not independent.

    Args:
        values: Group and value.
        seed: Of the draws.

    Returns:
        ``None`` if there are fewer than :data:`LEAST_GROUPS` groups.
    """
    groups: dict[str, list[float]] = {}
    for group, value in values:
        groups.setdefault(group, []).append(value)
    if len(groups) < LEAST_GROUPS:
        return None
    sums, counts = (np.array([measure(found) for found in groups.values()], dtype=float) for measure in (sum, len))
    drawn = np.random.default_rng(seed).integers(0, len(groups), (RESAMPLES, len(groups)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high), len(values))


def _gain(rows: Sequence[Row], base: Mapping[tuple[int, str], Row], field: str) -> str:
    """Difference from another system on the same questions, in bold where its interval leaves zero out."""
    pairs = [(row, base[item_of(row)]) for row in rows if item_of(row) in base]
    pairs = [(row, other) for row, other in pairs if row["system"] != other["system"]]
    values = [(row["text"], row[field] - other[field]) for row, other in pairs if field in row and field in other]
    if not values:
        return MISSING
    found = grouped_interval(values)
    if found is None:
        return f"{fmean(value for _, value in values):+.2f}"
    shown = with_interval(found, "+.2f")
    return f"**{shown}**" if found.excludes_zero else shown


def _mean(rows: Sequence[Row], field: str, digits: int = 2) -> str:
    values = [row[field] for row in rows if field in row]
    return f"{fmean(values):,.{digits}f}" if values else MISSING
