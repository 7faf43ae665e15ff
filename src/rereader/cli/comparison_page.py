"""A comparison as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from rereader.cli.bars import Bar, chart
from rereader.cli.comparison_display import FIGURES, LEGEND, STATUS, failure, label
from rereader.cli.display import UNCARRIED, cost
from rereader.cli.report import Note, Report
from rereader.schema.wording import counted

if TYPE_CHECKING:
    from rereader.runs.comparing import Comparison
    from rereader.runs.rows import Row
    from rereader.schema import Budget

_LOADING = "loading models"
_BETWEEN = "between stages"
"""Checkpoints, the looking up of documents, the run's first and last entries."""


def comparison_page(found: Comparison, reports: Sequence[Report | None]) -> str:
    """The page of a comparison.

    Args:
        found: The comparison.
        reports: The answer of each row made ready; ``None`` where there is none.
    """
    pairs = list(enumerate(zip(found.rows, reports, strict=True), 1))
    template = Template(_part("comparison.html"))
    return template.substitute(
        title=escape(found.question[:120]),
        style=_style(),
        question=escape(found.question),
        heading=escape(" · ".join(_heading(found))),
        warnings="".join(_warning(text) for text in found.warnings),
        cards="".join(_card(number, row, report) for number, (row, report) in pairs),
        table=_table(found),
        notes="".join(f"<li>{escape(note)}</li>" for note in [LEGEND, *found.notes()]),
        charts="".join(_charts(found)),
        systems="".join(_system(number, row, report, found) for number, (row, report) in pairs),
    )


def _part(name: str) -> str:
    return (resources.files("rereader.cli") / name).read_text(encoding="utf-8")


def _style() -> str:
    """The look of an answer's page, which this one builds on."""
    return _part("page.html").partition("<style>")[2].partition("</style>")[0].strip()


def _heading(found: Comparison) -> Iterable[str]:
    titles = [document.title for document in found.documents]
    more = f" and {len(titles) - 3} more" if len(titles) > 3 else ""
    length = sum(document.length for document in found.documents)
    yield f"{', '.join(titles[:3])}{more} ({counted(length, 'character')})"
    yield ", ".join(f"{role} {name}" for role, name in found.models.items())
    yield f"budget {_limits(found.budget)}"


def _limits(budget: Budget) -> str:
    limits = [f"{value:,g} {name}" for name, value in budget.model_dump().items() if value is not None]
    return ", ".join(limits) or "unlimited"


def _warning(text: str) -> str:
    return f'<p class="small warning">{escape(text)}</p>'


def _card(number: int, row: Row, report: Report | None) -> str:
    return (
        f'<section class="card"><h3><a href="#graph-{number}">{escape(row.system.name)}</a></h3>'
        f'<p class="small">{escape(label(row))} · {_state(row)}</p>{_answer(number, row, report)}</section>\n'
    )


def _state(row: Row) -> str:
    state = row.status.replace("_", " ")
    sure = row.answer.confidence if row.answer else None
    shown = escape(state if sure is None else f"{state}, confidence {sure:.2f}")
    return f'<span class="failed">{shown}</span>' if row.failure else shown


def _answer(number: int, row: Row, report: Report | None) -> str:
    if report is None:
        return f'<p class="small failed">{escape(failure(row))}</p>'
    if not report.pieces:
        return '<p class="bare">(there is no answer)</p>'
    shown = []
    for piece in report.pieces:
        marks = "".join(f'<a href="#{_anchor(number, note)}">[{note}]</a>' for note in piece.notes)
        bare = bool(report.answer and report.answer.claims) and not piece.notes
        after = f"<sup>{marks}</sup>" if marks else f' <span class="bare">({UNCARRIED})</span>' if bare else ""
        shown.append(f"{escape(piece.text)}{after}{escape(piece.gap)}")
    return f'<div class="answer" dir="auto">{"".join(shown)}</div>'


def _anchor(number: int, note: int) -> str:
    return f"graph-{number}-quote-{note}"


def _table(found: Comparison) -> str:
    kinds = ["" if figure.title == STATUS else ' class="figure"' for figure in FIGURES]
    titles = "".join(f"<th{kind}>{figure.title}</th>" for figure, kind in zip(FIGURES, kinds, strict=True))
    rows = []
    for number, row in enumerate(found.rows, 1):
        cells = "".join(
            f"<td{kind}>{escape(figure.cell(row))}</td>" for figure, kind in zip(FIGURES, kinds, strict=True)
        )
        rows.append(f'<tr><td><a href="#graph-{number}">{escape(row.system.name)}</a></td>{cells}</tr>\n')
    return f"<table><thead><tr><th>graph</th>{titles}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>"


def _charts(found: Comparison) -> Iterable[str]:
    rows = [row for row in found.rows if row.failure is None]
    yield chart(
        "Tokens read and written", [_tokens(row) for row in rows], "Those of replies from the call cache included."
    )
    depths = [Bar(row.system.name, {"calls": row.usage.serial_depth}, f"{row.usage.serial_depth:,}") for row in rows]
    yield chart("Serial depth: the longest chain of dependent calls", depths)
    yield chart("Seconds by stage", [_seconds(row) for row in rows])
    if found.apart:
        yield chart(
            "Peak memory", [_memory(row) for row in rows], "Main memory of the graph's own process, models included."
        )


def _tokens(row: Row) -> Bar:
    usage = row.usage
    parts = {"read": usage.prompt_tokens, "written": usage.completion_tokens}
    return Bar(row.system.name, parts, f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}")


def _seconds(row: Row) -> Bar:
    between = max(0.0, row.seconds - sum(row.stages.values()))
    parts = {_LOADING: row.load_seconds, **row.stages, _BETWEEN: between}
    return Bar(
        row.system.name, {name: value for name, value in parts.items() if value}, f"{sum(parts.values()):,.1f} s"
    )


def _memory(row: Row) -> Bar:
    megabytes = row.usage.peak_host_bytes / 1e6
    return Bar(row.system.name, {"megabytes": megabytes}, f"{megabytes:,.0f} MB")


def _system(number: int, row: Row, report: Report | None, found: Comparison) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(row, found))
    warnings = "".join(_warning(text) for text in found.own_warnings(row))
    return (
        f'<section class="system" id="graph-{number}"><h3>{escape(row.system.name)}</h3>'
        f"{_answer(number, row, report)}{warnings}{_quotes(number, report)}<dl>{facts}</dl></section>\n"
    )


def _quotes(number: int, report: Report | None) -> str:
    if report is None:
        return ""
    cited = "".join(_note(number, note) for note in report.cited)
    others = "".join(_note(number, note) for note in report.others)
    if not others:
        return cited
    title = f"{counted(len(report.others), 'more quote' if cited else 'quote')} that no claim rests on"
    return f"{cited}<details><summary>{title}</summary>\n{others}</details>"


def _note(number: int, note: Note) -> str:
    evidence, around = note.evidence, note.around
    state = '<span class="good">verified</span>' if evidence.verified else '<span class="bad">NOT verified</span>'
    before, after = (f'<span class="around">{escape(text)}</span>' for text in (around.before, around.after))
    return (
        f'<article class="note" id="{_anchor(number, note.number)}">'
        f'<p class="place"><span class="number">[{note.number}]</span> {escape(note.place)} · characters '
        f"{evidence.start}–{evidence.end} · {state}</p>"  # noqa: RUF001 - an en dash between two figures
        f'<p dir="auto">{before} <mark>{escape(evidence.quote)}</mark> {after}</p></article>\n'
    )


def _facts(row: Row, found: Comparison) -> Iterable[tuple[str, str]]:
    yield "graph", row.system.graph
    if row.system.settings:
        yield "settings", ", ".join(f"{name}={value}" for name, value in row.system.settings.items())
    yield "label", f"{row.honesty}: {row.after}"
    if row.run and not found.apart:
        yield "run", row.run.id
    yield "status", row.status.replace("_", " ")
    yield "cost", cost(row.usage)
