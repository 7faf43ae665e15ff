"""An answer as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from rereader.cli.display import FOUND, STEP_COLUMNS, UNCARRIED, cost, step_cells
from rereader.cli.report import Note, Report
from rereader.schema import Answer
from rereader.schema.confidence import confidence_words
from rereader.schema.wording import counted

_FIGURES = frozenset({"step", "seconds", "calls", "tokens"})
_NO_LINKS: Mapping[int, str] = {}


@dataclass(frozen=True)
class _Shown:
    report: Report
    links: Mapping[int, str]
    opened: int


def page(report: Report, links: Mapping[int, str] = _NO_LINKS, opened: int = 0) -> str:
    """The page of a run.

    Args:
        report: The run.
        links: Address of the document's file by quote number; a page for others has none.
        opened: Number of a quote that is shown unfolded.
    """
    shown = _Shown(report, links, opened)
    template = Template((resources.files("rereader.cli") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(report.run.question[:120]),
        question=escape(report.run.question),
        answer=_answer(report),
        warnings=_warnings(report.answer),
        quotes=_section("Quotes", report.cited, shown),
        others=_others(shown),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(report)),
        steps=_steps(report),
    )


def file_links(report: Report) -> dict[int, str]:
    """Address of the file that each quote comes from, where the file is still there; of a PDF at the quote's page."""
    links = {}
    for note in [*report.cited, *report.others]:
        path = Path(note.source)
        if note.source not in ("", "-") and path.is_file():
            number = str(note.evidence.page or "").partition("-")[0]
            anchor = f"#page={number}" if path.suffix.lower() == ".pdf" and number.isdecimal() else ""
            links[note.number] = path.resolve().as_uri() + anchor
    return links


def _answer(report: Report) -> str:
    if not report.pieces:
        return f'<span class="bare">The run has no answer; it is {escape(report.ending)}</span>'
    shown = []
    for number, piece in enumerate(report.pieces, 1):
        marks = "".join(f'<a href="#quote-{note}" aria-label="Quote {note}">[{note}]</a>' for note in piece.notes)
        bare = report.answer is not None and bool(report.answer.claims) and not piece.notes
        after = f"<sup>{marks}</sup>" if marks else f' <span class="bare">({UNCARRIED})</span>' if bare else ""
        shown.append(f'<span class="claim" id="claim-{number}">{escape(piece.text)}</span>{after}{escape(piece.gap)}')
    return "".join(shown)


def _warnings(answer: Answer | None) -> str:
    return "".join(f'<p class="small warning">{escape(text)}</p>' for text in (answer.warnings if answer else ()))


def _section(title: str, notes: Iterable[Note], shown: _Shown) -> str:
    articles = "".join(_note(note, shown) for note in notes)
    return f"<h2>{title}</h2>\n{articles}" if articles else ""


def _others(shown: _Shown) -> str:
    """Quotes that no claim rests on: folded away when there are others, the nearest passages when there are none."""
    report = shown.report
    if report.found:
        notes = "".join(f'<p class="text" dir="auto">{escape(text)}</p>' for text in report.found.notes)
        return _section(FOUND, report.others, shown) + notes if report.others else f"<h2>{FOUND}</h2>\n{notes}"
    if not report.cited:
        return _section("Nearest passages", report.others, shown)
    articles = "".join(_note(note, shown) for note in report.others)
    title = f"{counted(len(report.others), 'more quote')} that no claim rests on"
    unfolded = " open" if shown.opened > len(report.cited) else ""
    return f"<details{unfolded}><summary>{title}</summary>\n{articles}</details>" if articles else ""


def _note(note: Note, shown: _Shown) -> str:
    evidence, around = note.evidence, note.around
    state = '<span class="good">verified</span>' if evidence.verified else '<span class="bad">NOT verified</span>'
    place = escape(note.place)
    if note.number in shown.links:
        place = f'<a href="{escape(shown.links[note.number])}">{place}</a>'
    users = [i for i, piece in enumerate(shown.report.pieces, 1) if note.number in piece.notes]
    back = "".join(f' <a href="#claim-{i}" aria-label="Back to claim {i}">↩{i}</a>' for i in users)
    before, after = (f'<span class="around">{escape(text)}</span>' for text in (around.before, around.after))
    unfolded = " open" if note.number == shown.opened else ""
    return (
        f'<article class="note" id="quote-{note.number}">'
        f'<p class="place"><span class="number">[{note.number}]</span> {place} · characters '
        f"{evidence.start}–{evidence.end} · {state}{back}</p>"  # noqa: RUF001 - an en dash between two figures
        f'<p dir="auto">{before} <mark>{escape(evidence.quote)}</mark> {after}</p>'
        f"<details{unfolded}><summary>More of the text</summary>"
        f'<p class="text" dir="auto"><span class="around">{escape(around.earlier)}</span>'
        f'<mark>{escape(evidence.quote)}</mark><span class="around">{escape(around.later)}</span></p></details>'
        "</article>\n"
    )


def _facts(report: Report) -> Iterable[tuple[str, str]]:
    run, answer = report.run, report.answer
    yield "run", run.id
    yield "asked", time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created_at))
    yield "graph", run.graph
    yield "status", run.status.replace("_", " ")
    if answer is not None and answer.confidence is not None:
        yield "confidence", confidence_words(answer).removeprefix("confidence ")
    yield "models", ", ".join(f"{role} {name}" for role, name in run.models.items())
    yield "cost", cost(answer.usage if answer else run.usage)


def _steps(report: Report) -> str:
    if not report.steps:
        return ""
    head = "".join(f"<th{_kind(name)}>{name}</th>" for name in STEP_COLUMNS)
    rows = "".join(f"<tr>{_cells(step_cells(step))}</tr>\n" for step in report.steps)
    return (
        f'<h2>Steps</h2>\n<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'
    )


def _cells(cells: tuple[str, ...]) -> str:
    return "".join(f"<td{_kind(name)}>{escape(cell)}</td>" for name, cell in zip(STEP_COLUMNS, cells, strict=True))


def _kind(column: str) -> str:
    return ' class="figure"' if column in _FIGURES else ""
