"""A table of plain rows: one line for every value of some fields, means of others as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rereader.evals.cells import MISSING, plain, table
from rereader.evals.expressions import Row, field_of, fitting
from rereader.evals.manifest import Column


def grouped_table(rows: Sequence[Row], by: Sequence[str], columns: Sequence[Column]) -> str:
    """The table in Markdown; lines in the order of the rows."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_shown(row.get(name)) for name in by), []).append(row)
    lines = [[*key, *(_cell(mine, column) for column in columns)] for key, mine in groups.items()]
    return table([*(name.replace("_", " ") for name in by), *(column.title for column in columns)], lines)


def _shown(value: object) -> str:
    return plain(value, 0) if isinstance(value, int | float) and float(value).is_integer() else str(value)


def _cell(rows: Sequence[Row], column: Column) -> str:
    """The mean of a column's field, weighted if the rows stand for several observations each."""
    pairs = [
        (found, field_of(row, column.weight) if column.weight else 1.0)
        for row in fitting(rows, column.where)
        if (found := field_of(row, column.field)) is not None
    ]
    if not pairs:
        return MISSING
    value = float(np.average([value for value, _ in pairs], weights=[weight or 0.0 for _, weight in pairs]))
    return f"{plain(value * column.scale, column.digits)}{column.unit}"
