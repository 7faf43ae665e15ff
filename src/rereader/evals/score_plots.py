"""Panels of scores: the frontier of quality and cost, and quality by the length of the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from rereader.evals.intervals import mean_interval
from rereader.evals.panels import Panel, Series
from rereader.evals.report import chosen_rows
from rereader.evals.result_table import from_cache, main_score, seconds_of, tokens_of, value_name, values_of
from rereader.evals.rows import Row, read_rows
from rereader.schema.errors import InputError

Cost = Callable[[Sequence[Row]], float | None]
"""What a system's rows cost in all, or a question on average."""
_APART = 1.02
"""Ratio of the dearest to the cheapest from which on a cost is shown."""
_LENGTHS = ("tokens", "documents", "length")
"""Facts of a benchmark's data that say how long its texts are, the first that is there."""


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _gigabytes(rows: Sequence[Row]) -> float | None:
    return max((found / 1e9 for row in rows if (found := row["usage"].get("peak_host_bytes"))), default=None)


_SECONDS = "seconds a question"
_COSTS: dict[str, Cost] = {
    "tokens a question": lambda rows: _mean(values_of(rows, tokens_of)),
    _SECONDS: lambda rows: _mean(seconds_of(rows)),
    "peak memory, GB": _gigabytes,
}


def frontier_panels(paths: Sequence[Path]) -> list[Panel]:
    """The main score of every system against each cost; one that does not tell systems apart is left out.

    Tokens and seconds are means over questions, memory is the most of any (all systems of a run share a process, so it
    tells only what runs apart took); reading a text in is not counted. Answers that rest on stored replies count for no
    seconds, and a system with few others has no point there; how many they are stands below the axis.
    """
    rows = chosen_rows(paths)
    value, y = main_score(rows), value_name(rows)
    stored = sum(map(from_cache, rows))
    panels = []
    for name, cost in _COSTS.items():
        series = []
        for system in dict.fromkeys(row["system"] for row in rows):
            mine = [row for row in rows if row["system"] == system]
            score, paid = mean_interval(values_of(mine, value)), cost(mine)
            if score is not None and paid is not None:
                series.append(Series(system, ((paid, score.mean),), ((score.low, score.high),)))
        points = [point for one in series for point in one.points]
        least, most = min((x for x, _ in points), default=0.0), max((x for x, _ in points), default=0.0)
        if most > _APART * least:
            x = f"{name}\n(without {stored} of {len(rows)} that rest on stored replies)" if stored else name
            spread = 0 < least < most / 20
            panels.append(
                Panel(
                    f"{y} by {name}",
                    x if name == _SECONDS else name,
                    y,
                    tuple(series),
                    log_x=spread,
                    joined=False,
                    front=tuple(unbeaten(points)),
                )
            )
    return panels


def unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points ``(cost, score)`` that none with as little cost has a better score than, by cost."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def length_panels(paths: Sequence[Path]) -> list[Panel]:
    """The main score of every system by the length of the texts, as rows say it, or else the file's data.

    Raises:
        InputError: If a file does not say how long its texts are, or not all say it by the same name.
    """
    found: dict[str, dict[float, list[Row]]] = {}
    names: dict[str, None] = {}
    for path in paths:
        rows = chosen_rows([path])
        name, length = ("length", 0.0) if all(row.get("length") for row in rows) else length_of(path)
        names[name] = None
        for row in rows:
            found.setdefault(row["system"], {}).setdefault(row.get("length") or length, []).append(row)
    if len(names) > 1:
        raise InputError(f"Lengths are told by {' and '.join(names)}.", "Draw files of one benchmark together.")
    (name,) = names
    every = [row for lengths in found.values() for rows in lengths.values() for row in rows]
    value, y = main_score(every), value_name(every)
    series = []
    for system, lengths in found.items():
        scored = {x: score for x, rows in sorted(lengths.items()) if (score := mean_interval(values_of(rows, value)))}
        points = tuple((x, score.mean) for x, score in scored.items())
        series.append(Series(system, points, tuple((score.low, score.high) for score in scored.values())))
    return [Panel(f"{y} by length", f"{name} of a text", y, tuple(series), log_x=True, share=True)]


def length_of(path: Path) -> tuple[str, float]:
    """How long the texts of a results file are, as (unit, number), by its last environment.

    Raises:
        InputError: If its environments do not say.
    """
    for row in reversed(read_rows(path)):
        for name in _LENGTHS:
            if row["row"] == "environment" and isinstance((row.get("data") or {}).get(name), int | float):
                return name, float(row["data"][name])
    raise InputError(f"{path} does not say how long its texts are.", f"One of: {', '.join(_LENGTHS)}.")
