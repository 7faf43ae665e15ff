"""The leaderboard: systems of every benchmark in order, from raw rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rereader.evals.cells import MISSING, difference, interval, mean, plain, table
from rereader.evals.report import by_set, sources
from rereader.evals.result_table import (
    control_of,
    controls_line,
    item_of,
    main_score,
    seconds_of,
    tokens_of,
    value_name,
    values_of,
)
from rereader.evals.rows import Row, read_rows

_TOLD = ("source", "documents", "tokens", "lookalikes")
"""Facts of a benchmark's data that a heading tells."""


def leaderboard(files: Sequence[tuple[Path, Sequence[Row]]], root: Path | None = None) -> str:
    """A table for each file, benchmark and split: the systems by their main score, each with its distance to the best.

    Args:
        files: Results files, each with the results of it that count.
        root: The folder that shown paths begin at.
    """
    parts = []
    for path, rows in files:
        for name, mine in by_set(rows).items():
            heading = [f"### {path.stem}", f"{name}; texts: {_data(path)}"]
            parts += [*heading, _board(mine), controls_line(mine), sources([path], root)]
    return "\n\n".join(parts)


def _board(rows: Sequence[Row]) -> str:
    value = main_score(rows)
    systems = {
        name: [row for row in rows if row["system"] == name] for name in dict.fromkeys(r["system"] for r in rows)
    }
    means = {name: values_of(mine, value) for name, mine in systems.items()}
    order = sorted((name for name in systems if means[name]), key=lambda name: -sum(means[name]) / len(means[name]))
    lines = []
    for place, name in enumerate(order, 1):
        mine = systems[name]
        behind = MISSING if place == 1 else _behind(mine, systems[order[0]], rows)
        lines.append([
            str(place),
            f"{name} (control)" if control_of(mine[0]) else name,
            f"`{mine[0].get('graph', MISSING)}`",
            str(len(means[name])),
            interval(means[name]),
            behind,
            mean(values_of(mine, tokens_of), 0),
            mean(seconds_of(mine), 1),
            _memory(mine),
        ])  # fmt: skip
    header = ["", "system", "graph", "n", value_name(rows), "to the best", "tokens", "seconds", "memory"]
    return table(header, lines)


def _behind(mine: Sequence[Row], best: Sequence[Row], rows: Sequence[Row]) -> str:
    """The paired difference from the best system; in bold if it is behind for sure."""
    value = main_score(rows)
    theirs = {item_of(row): value(row) for row in best}
    both = [(value(row), theirs.get(item_of(row))) for row in mine]
    pairs = [(ours, other) for ours, other in both if ours is not None and other is not None]
    return difference(pairs)


def _memory(rows: Sequence[Row]) -> str:
    peaks = [found for row in rows if (found := row["usage"].get("peak_host_bytes"))]
    return f"{plain(max(peaks) / 1e9, 1)} GB" if peaks else MISSING


def _data(path: Path) -> str:
    """What a file's environment says of the texts, but for what no reader of a table needs."""
    facts = next(row.get("data") or {} for row in reversed(read_rows(path)) if row["row"] == "environment")
    told = {name: facts[name] for name in _TOLD if facts.get(name)}
    return (
        ", ".join(f"{value:,} {name}" if isinstance(value, int) else str(value) for name, value in told.items())
        or "all"
    )
