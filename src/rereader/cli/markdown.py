"""An answer as Markdown with footnotes (the ``[^1]`` of GitHub, Pandoc and most others)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rereader.cli.console import one_line, printable
from rereader.cli.display import FOUND, STEP_COLUMNS, UNCARRIED, footer, step_cells
from rereader.cli.report import Note, Report

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~^$&#])")
_BLOCK = re.compile(r"([-+=](?=[ =-]|$)|(?<=\d)[.)](?= |$))")


def markdown(report: Report) -> str:
    """The question, the answer with its footnotes, the quotes, the run's cost, and its steps if they are known."""
    return "\n".join(_lines(report))


def plain(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    line = _SPECIAL.sub(r"\\\1", printable(one_line(text)))
    start = _BLOCK.search(line, 0, 12)  # what would make a list or a heading of the line
    if start and (start.start() == 0 or line[: start.start()].isdecimal()):
        line = f"{line[: start.start()]}\\{line[start.start() :]}"
    return line


def _lines(report: Report) -> Iterator[str]:
    yield f"# {plain(report.run.question)}\n"
    yield (_claims(report) or f"*The run has no answer; it is {report.ending}*") + "\n"
    answer = report.answer
    if report.found:
        yield f"{FOUND}:\n"
        yield from (f"> {plain(text)}\n" for text in report.found.notes)
        yield from (f"- {_quote(note)}" for note in report.others)
        yield ""
    if answer is not None:
        for warning in answer.warnings:
            yield f"> {plain(warning)}\n"
        if not report.cited and report.others:
            yield "Nearest passages:\n"
            yield from (f"- {_quote(note)}" for note in report.others[:3])
            yield ""
        yield f"*{plain(footer(answer))}*\n"
    if report.steps:
        yield from _table(report)
    yield from (f"[^{note.number}]: {_quote(note)}" for note in report.cited)


def _claims(report: Report) -> str:
    shown = []
    for piece in report.pieces:
        marks = "".join(f"[^{number}]" for number in piece.notes)
        bare = f" *({UNCARRIED})*" if report.answer and report.answer.claims and not piece.notes else ""
        shown.append(plain(piece.text) + marks + bare + ("\n\n" if "\n" in piece.gap else " " if piece.gap else ""))
    return "".join(shown)


def _quote(note: Note) -> str:
    around, evidence = note.around, note.evidence
    state = "verified" if evidence.verified else "NOT verified"
    parts = [plain(around.before), f"**“{plain(evidence.quote)}”**", plain(around.after)]
    place = f"{note.place}, characters {evidence.start}-{evidence.end}, {state}"
    return f"{plain(place)}: {' '.join(part for part in parts if part)}"


def _table(report: Report) -> Iterator[str]:
    yield f"| {' | '.join(STEP_COLUMNS)} |"
    yield f"|{' --- |' * len(STEP_COLUMNS)}"
    for step in report.steps:
        yield f"| {' | '.join(plain(cell) for cell in step_cells(step))} |"
    yield ""
