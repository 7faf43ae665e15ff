"""What reading graphs cost by the length of a text, from rows of measure_graphs: table, exponents, picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rereader.evals.cells import MISSING, plain, table
from rereader.evals.expressions import Row, plain_rows
from rereader.evals.panels import Panel, Series
from rereader.evals.scaling import fit_exponent

_COSTS = {
    "seconds": "seconds",
    "prompt_tokens": "tokens read",
    "completion_tokens": "written",
    "serial_depth": "calls in a row",
    "memory_megabytes": "memory",
    "workspace_megabytes": "disk",
}
"""Costs whose growth is fitted, with their names in the table."""
_DRAWN = {"seconds": "seconds", "serial_depth": "calls in a row", "memory_megabytes": "memory, MB"}
_SHORTEST = 10_000
"""Tokens: below, what is the same for every length hides how a cost grows."""


def latest(rows: Iterable[Row]) -> list[Row]:
    """The last row of each graph, model and length; those of runs that failed are left out."""
    return list({(row["graph"], row["model"], row["tokens"]): row for row in rows if "error" not in row}.values())


def cost_lines(rows: Sequence[Row]) -> str:
    """A line for each graph and length, the cheapest first; the models are named where they differ."""
    found = latest(rows)
    named = len({row["model"] for row in found}) > 1
    header = ["graph", *(["model"] if named else []), "tokens", "seconds", "tokens read", "written", "embedded"]
    lines = []
    for row in sorted(found, key=lambda row: (row["tokens"], row["seconds"])):
        counts = ("prompt_tokens", "completion_tokens", "embedded_tokens", "calls", "serial_depth")
        sizes = (f"{row[name]:,.0f} MB" for name in ("memory_megabytes", "workspace_megabytes"))
        start = [
            f"`{row['graph']}`",
            *([row["model"]] if named else []),
            f"{row['tokens']:,}",
            plain(row["seconds"], 1),
        ]
        lines.append([*start, *(f"{row[name]:,}" for name in counts), *sizes])
    return table([*header, "calls", "in a row", "memory", "disk"], lines)


def scaling_lines(rows: Sequence[Row]) -> str:
    """Fitted exponents of every cost with their intervals, a line for each graph and model."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in latest(rows):
        if row["tokens"] >= _SHORTEST:
            groups.setdefault((row["graph"], row["model"]), []).append(row)
    lines = []
    for (graph, model), mine in sorted(groups.items()):
        cells = [_exponent(mine, cost) for cost in _COSTS]
        if set(cells) != {MISSING}:
            lengths = sorted(row["tokens"] for row in mine)
            lines.append([f"`{graph}`", model, f"{lengths[0]:,} to {lengths[-1]:,}", str(len(mine)), *cells])
    return table(["graph", "model", "tokens", "points", *_COSTS.values()], lines)


def cost_panels(paths: Sequence[Path]) -> list[Panel]:
    """A panel for each drawn cost, a line for each graph (and model, where several were measured)."""
    rows = sorted(latest(row for path in paths for row in plain_rows(path)), key=lambda row: row["tokens"])
    several = len({row["model"] for row in rows}) > 1
    names = sorted({(row["graph"], row["model"]) for row in rows})
    panels = []
    for cost, title in _DRAWN.items():
        series = []
        for graph, model in names:
            mine = [row for row in rows if (row["graph"], row["model"]) == (graph, model) and row[cost] > 0]
            points = tuple((float(row["tokens"]), float(row[cost])) for row in mine)
            series.append(Series(f"{graph}, {model}" if several else graph, points))
        panels.append(Panel(title, "tokens of the text", "", tuple(series), log_x=True, log_y=True))
    return panels


def _exponent(rows: Sequence[Row], cost: str) -> str:
    found = fit_exponent([row["tokens"] for row in rows], [row[cost] for row in rows])
    return MISSING if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
