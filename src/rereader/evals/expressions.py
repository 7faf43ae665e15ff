"""What a number in prose is worked out from: short expressions over raw rows and generated tables.

``mean("needles-test", "scores.right", "system=retrieval")`` is the mean of a field over the rows that fit;
``cell("needles", "Evidence recall", "two_hop", "bm25")`` is a cell of a generated table. They may be added, subtracted,
multiplied and divided. Nothing else of Python is understood.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rereader.evals.rows import read_rows, results
from rereader.schema.errors import InputError

Row = Mapping[str, Any]
_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")
_CONDITION = re.compile(r"(.+?)(!=|(?:>=|<)(?=[\d.]+$)|=)(.*)")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_OVER_VALUES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "median": median,
    "least": min,
    "most": max,
    "total": sum,
    "value": lambda values: values[-1],
}
HINT = "docs/report.md says how a note beside a number is written."


class Figures:
    """Values of expressions.

    Args:
        find: Where the rows of a results file lie, by its name.
        blocks: The generated blocks by marker.
    """

    def __init__(self, find: Callable[[str], Path], blocks: Mapping[str, str]) -> None:
        self._find = find
        self._blocks = blocks
        self._rows: dict[str, list[Row]] = {}

    def value(self, expression: str) -> float:
        """The value of an expression.

        Raises:
            InputError: If it cannot be read, names what is not there, or no row fits.
        """
        try:
            return self._of(ast.parse(expression.strip(), mode="eval").body)
        except SyntaxError as error:
            raise InputError(f"Not an expression: {expression}.", HINT) from error
        except ZeroDivisionError as error:
            raise InputError(f"A division by zero: {expression}.", HINT) from error

    def rows(self, name: str) -> list[Row]:
        """All rows of a results file; of those that ``bench`` wrote, the results that count."""
        if name not in self._rows:
            self._rows[name] = plain_rows(self._find(name))
        return self._rows[name]

    def _of(self, node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](self._of(node.left), self._of(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, [self._text(argument) for argument in node.args])
        raise InputError(f"Not understood: {ast.unparse(node)}.", HINT)

    def _text(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        raise InputError(f"Arguments are texts in quotes, not {ast.unparse(node)}.", HINT)

    def _call(self, name: str, arguments: Sequence[str]) -> float:
        if name == "cell" and len(arguments) == 4:
            return self._cell(*arguments)
        if name == "count" and arguments:
            return float(len(fitting(self.rows(arguments[0]), arguments[1:])))
        if name in _OVER_VALUES and len(arguments) > 1:
            rows = fitting(self.rows(arguments[0]), arguments[2:])
            values = [found for row in rows if (found := field_of(row, arguments[1])) is not None]
            if values:
                return _OVER_VALUES[name](values)
            raise InputError(f"No row of {arguments[0]} has {arguments[1]} where {', '.join(arguments[2:])}.", HINT)
        known = ", ".join([*_OVER_VALUES, "count", "cell"])
        raise InputError(f"There is no {name} of {len(arguments)} texts.", f"There are: {known}. {HINT}")

    def _cell(self, marker: str, title: str, line: str, column: str) -> float:
        """The first number of a cell; of a cell with an interval, ``column`` may end in `` low`` or `` high``."""
        if marker not in self._blocks:
            raise InputError(f"There is no block {marker!r}.", HINT)
        for heading, table in tables_of(self._blocks[marker]):
            if heading.startswith(title) and line in table:
                return _number_in(table[line], column)
        raise InputError(f"The block {marker} has no table {title!r} with a line {line!r}.", HINT)


def plain_rows(path: Path) -> list[Row]:
    """The rows of a file of JSON lines, or the one object of a JSON file.

    Raises:
        InputError: If it cannot be read, or holds anything else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(text)] if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no rows of JSON.", "Name a file of docs/results.") from error
    if not all(isinstance(line, dict) for line in lines):
        raise InputError(f"{path} holds JSON that is no rows.", "Name a file of docs/results.")
    return list(results(read_rows(path))) if lines and "row" in lines[0] else lines


def fitting(rows: Sequence[Row], conditions: Sequence[str]) -> list[Row]:
    """Rows that fit all of ``field=value`` and ``field!=value``, as texts, ``field<value`` and ``field>=value``."""
    return [row for row in rows if all(_fits(row, one) for one in conditions)]


def field_of(row: Row, path: str) -> float | None:
    """A field as a number: the sum of numbers by name, the mean of a list of them; ``None`` if it is not there."""
    found = _at(row, path)
    if isinstance(found, Mapping):
        return float(sum(found.values()))
    if isinstance(found, list):
        return fmean(found) if found else None
    return float(found) if isinstance(found, int | float) else None


def tables_of(block: str) -> list[tuple[str, dict[str, dict[str, str]]]]:
    """The tables of a block as (the line above, line -> column -> cell); lines go by their first cells."""
    found, above = [], ""
    for part in block.split("\n\n"):
        lines = part.strip().splitlines()
        if not lines or not lines[0].startswith("|"):
            above = part.strip().strip("*") or above
            continue
        header, *body = [
            [cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if "---" not in line
        ]
        table: dict[str, dict[str, str]] = {}
        for cells in body:
            # Where several lines begin alike, the second cell tells them apart.
            for key in (cells[0], f"{cells[0]} {cells[1]}"):
                table.setdefault(key, dict(zip(header, cells, strict=False)))
        found.append((above, table))
    return found


def _at(row: Row, path: str) -> Any:
    """What stands at a path; in a list ``least`` and ``most``, or a number's place."""
    found: Any = row
    for name in path.split("."):
        if isinstance(found, Mapping):
            found = found[path] if path in found else found.get(name)
        elif isinstance(found, list) and name.isdecimal():
            found = found[int(name)] if int(name) < len(found) else None
        elif isinstance(found, list) and name in ("least", "most"):
            found = (min if name == "least" else max)(found)
        else:
            return None
    return found


def _fits(row: Row, condition: str) -> bool:
    parts = _CONDITION.fullmatch(condition)
    if parts is None:
        raise InputError(f"Not a condition: {condition}.", HINT)
    name, sign, value = parts.groups()
    found = _at(row, name)
    if sign in ("<", ">="):
        return isinstance(found, int | float) and (found < float(value)) == (sign == "<")
    return (str(found) == value) == (sign == "=")


def _number_in(cells: Mapping[str, str], column: str) -> float:
    for suffix, place in ((" low", 1), (" high", 2), ("", 0)):
        name = column.removesuffix(suffix) if suffix else column
        if (column.endswith(suffix) or not suffix) and name in cells:
            numbers = _NUMBER.findall(cells[name])
            if len(numbers) > place:
                return float(numbers[place].replace(",", ""))
    raise InputError(f"There is no number in the column {column!r}.", f"There are: {', '.join(cells)}. {HINT}")
