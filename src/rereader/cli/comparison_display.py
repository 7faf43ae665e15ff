"""A comparison on the terminal: what each graph answered, then their figures in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rereader.cli.console import output
from rereader.cli.display import show_answer
from rereader.cli.report import Report
from rereader.schema.confidence import bands_words

if TYPE_CHECKING:
    from rereader.runs.comparing import Comparison
    from rereader.runs.rows import Row

STATUS = "status"
MISSING = "–"  # noqa: RUF001 - an en dash stands for no figure
_NAME_WIDTH = 28
_NAME_LEAST = 8
_FIGURES_LEAST = 24
"""What the columns of rank 0 take beside the graph's name."""
_UNLIMITED = 10_000


@dataclass(frozen=True)
class Figure:
    """A column of the table; those of a higher ``rank`` are left out first where there is little room."""

    title: str
    of: Callable[[Row], str]
    rank: int

    def cell(self, row: Row) -> str:
        """What the table says; a graph that did not begin has no figures."""
        return self.of(row) if row.run or self.title == STATUS else MISSING


FIGURES = (
    Figure(STATUS, lambda row: row.status.replace("_", " "), 0),
    Figure("confidence", lambda row: _share(row.answer.confidence if row.answer else None), 4),
    Figure("calls", lambda row: f"{row.usage.calls:,}", 2),
    Figure("read", lambda row: f"{row.usage.prompt_tokens:,}", 1),
    Figure("written", lambda row: f"{row.usage.completion_tokens:,}", 2),
    Figure("cached", lambda row: f"{row.usage.cached_tokens:,}", 6),
    Figure("embedded", lambda row: f"{row.usage.embedded_tokens:,}", 5),
    Figure("depth", lambda row: f"{row.usage.serial_depth:,}", 2),
    Figure("seconds", lambda row: f"{row.seconds:,.1f}", 0),
    Figure("ingest", lambda row: f"{row.ingest_seconds:,.1f}", 3),
    Figure("memory", lambda row: _memory(row), 7),
)
LEGEND = (
    "read, written, cached and embedded are tokens; cached ones are part of those read and written; depth is the "
    "longest chain of dependent calls; ingest are the seconds of chunking, compressing and embedding. Of confidence: "
    f"{bands_words()}."
)


def show_comparison(found: Comparison, reports: Sequence[Report | None]) -> None:
    """Print answers with their quotes, the table, and how to read it."""
    console = output()
    for row, report in zip(found.rows, reports, strict=True):
        console.print(Text.assemble((row.system.name, "bold"), (f" · {label(row)}", "dim")))
        if report is None:
            console.print(Text(failure(row), "red"))
        else:
            show_answer(report)
        for warning in found.own_warnings(row):
            console.print(Text(f"note: {warning}", "dim"))
        console.print()
    console.print(figures_table(found, console))
    for note in [LEGEND, *found.notes()]:
        console.print(Text(note, "dim"))


def label(row: Row) -> str:
    """How close the graph is to what it is after; one that is named after itself has nothing to be close to."""
    return row.honesty if row.honesty in ("baseline", "ours") else f"{row.honesty}, after {row.after}"


def failure(row: Row) -> str:
    """Why a graph has no answer, in one line."""
    if row.failure is None:
        return "no answer"
    return f"failed: {row.failure.message} {row.failure.hint}".strip()


def figures_table(found: Comparison, console: Console) -> Table:
    """The figures that fit the terminal's width, a line for each graph."""
    shown = list(FIGURES)
    names = min(_NAME_WIDTH, max(_NAME_LEAST, console.width - _FIGURES_LEAST))
    without_limit = console.options.update(max_width=_UNLIMITED)
    while True:
        table = _table(found, shown, names)
        highest = max(figure.rank for figure in shown)
        if not highest or console.measure(table, options=without_limit).maximum <= console.width:
            return table
        shown = [figure for figure in shown if figure.rank < highest]


def _table(found: Comparison, shown: Sequence[Figure], names: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("graph", overflow="fold", max_width=names)
    for figure in shown:
        table.add_column(figure.title, justify="left" if figure.title == STATUS else "right", no_wrap=True)
    for row in found.rows:
        table.add_row(Text(row.system.name), *(figure.cell(row) for figure in shown))
    return table


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def _memory(row: Row) -> str:
    return f"{row.usage.peak_host_bytes / 1e6:,.0f} MB" if row.usage.peak_host_bytes else MISSING
