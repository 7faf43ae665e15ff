"""CSV and TSV: every row becomes a paragraph, ``column: value; column: value``, and can be cited by its number."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from rereader.schema.errors import InputError
from rereader.tools.decoding import decode
from rereader.tools.formats.base import Options, Parsed, TextBuilder, without_text

_DELIMITERS = ",;\t|"
_SAMPLE = 64 * 1024
_ROWS = 100
_LONGEST_CELL = 2**31 - 1
_LONGEST_NUMBER = 64
_TABBED = (".tsv", ".tab")
_NOT_DECIMAL = re.compile(r",(?!\d)|(?<!\d),")
_NUMBER = re.compile(r"\s*[-+]?[\d.,:/-]*\d[\d.,:/%-]*\s*")


def load(data: bytes, name: str, options: Options) -> Parsed:
    """One paragraph per row; empty cells are left out. The first row names the columns unless it has numbers or gaps.

    Rows are numbered as a spreadsheet does: the first row of the file is row 1.
    """
    decoded = decode(data, name, options.encoding)
    out = TextBuilder(name, options.max_bytes)
    columns: list[str] = []
    for number, row in enumerate(_rows(decoded.text, name), 1):
        cells = [" ".join(cell.split()) for cell in row]
        if number == 1 and _names_columns(cells):
            columns = cells
            continue
        line = "; ".join(_cell(columns, i, cell) for i, cell in enumerate(cells) if cell)
        if line:
            out.mark("row", str(number))
            out.add(f"{line}\n\n")
    if not out.length:
        raise without_text(name)
    return out.build(decoded.warnings, decoded.encoding)


def delimiter(text: str, name: str = "") -> str:
    """The character between the cells: the candidate that cuts most of the first rows alike, into most cells.

    Tabs come first in a file whose name promises them, and commas last where every one stands between digits.
    """
    sample = text[:_SAMPLE]
    lines = sample.splitlines(keepends=True)
    last = "" if _NOT_DECIMAL.search(sample) else ","
    first = "\t" if name.lower().endswith(_TABBED) else ""

    def worth(mark: str) -> tuple[float, bool, bool, int]:
        share, width = _evenness(lines, mark)
        return share, mark == first, mark != last, width

    return max(_DELIMITERS, key=worth)


def _evenness(lines: list[str], mark: str) -> tuple[float, int]:
    """The share of the first rows that have the commonest width, and this width; nothing if that is one cell."""
    try:
        rows = [row for row in islice(csv.reader(lines, delimiter=mark), _ROWS) if row]
    except csv.Error:
        return 0.0, 0
    widths = Counter(len(row) for row in rows)
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]), default=(1, 0))
    return (count / len(rows), width) if width > 1 else (0.0, 0)


def _rows(text: str, name: str) -> Iterator[list[str]]:
    limit = csv.field_size_limit()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text, name))
    try:
        csv.field_size_limit(_LONGEST_CELL)
        yield from reader
    except csv.Error as error:
        msg = f"{name} is no table that can be read: row {reader.line_num:,}: {error}."
        raise InputError(msg, "Save it as CSV again, or give it as a text file (.txt).") from error
    finally:
        csv.field_size_limit(limit)


def _names_columns(cells: list[str]) -> bool:
    return bool(cells) and all(cells) and not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    return len(cell) <= _LONGEST_NUMBER and _NUMBER.fullmatch(cell) is not None


def _cell(columns: list[str], index: int, value: str) -> str:
    column = columns[index] if index < len(columns) else f"column {index + 1}"
    return f"{column}: {value}"
