"""The raw log of a training, as JSON lines, and its picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rereader.schema import MissingExtra

Row = dict[str, Any]
_SPAN = 0.05
"""Part of the steps that the drawn line averages over."""


class TrainingLog:
    """Appends rows to a file, each written before the next step.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, kind: str, **values: Any) -> None:
        """Append a row."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **values}, ensure_ascii=False) + "\n")

    def rows(self) -> Iterator[Row]:
        """The rows; one that was cut off by a crash is left out."""
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def clear(self) -> None:
        """Begin anew."""
        self._path.unlink(missing_ok=True)

    def forget_after(self, step: int) -> None:
        """Drop rows of steps that will be taken again, and everything that came after them."""
        kept = [row for row in self.rows() if row.get("step", -1) < step]
        beside = self._path.with_suffix(".part")
        beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
        beside.replace(self._path)

    def draw(self, value: str, label: str, path: Path) -> tuple[str, ...]:
        """Draw a value of the steps, as dots and as a running mean, into a PNG; what hindered it, if anything."""
        steps = [row for row in self.rows() if row["kind"] == "step"]
        try:
            _draw(steps, value, label, path)
        except MissingExtra as error:
            return (f"There is no plot: {error.message} {error.hint}",)
        return ()


def running_mean(values: Sequence[float], span: int) -> list[float]:
    """Mean of each value and up to ``span`` before and after it."""
    found = []
    for place in range(len(values)):
        near = values[max(0, place - span) : place + span + 1]
        found.append(sum(near) / len(near))
    return found


def _draw(rows: Sequence[Row], value: str, label: str, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("Drawing a PNG", "train") from error
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    x, y = [row["step"] for row in rows], [row[value] for row in rows]
    axes.plot(x, y, ".", markersize=3, color="#b9c7dd")
    axes.plot(x, running_mean(y, max(1, int(len(y) * _SPAN))), color="#3a5a8c")
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    figure.savefig(path, dpi=130, bbox_inches="tight")
