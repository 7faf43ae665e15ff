"""Answers, runs and tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rereader.cli.console import output, shortened
from rereader.cli.estimating import outcome
from rereader.cli.report import Note, Piece, Report
from rereader.memory.runs import Step
from rereader.schema import Answer, Usage
from rereader.schema.confidence import confidence_words
from rereader.schema.wording import counted

UNCARRIED = "no quote carries this"
"""Said of a claim that rests on no quote."""
NO_ANSWER = "There is no answer."
FOUND = "Found so far"
"""Said of what a run without an answer has."""
_FOUND_SHOWN = 10
_QUOTE_CHARACTERS = 320
_QUOTES_SHOWN = 3


def show_answer(report: Report) -> None:
    """Print an answer claim by claim, the quotes it rests on with what stands around them, and what it cost.

    Of a run without an answer it prints what was found so far.
    """
    answer = report.answer
    if answer is None:
        _show_found(report)
        return
    console = output()
    console.print()
    _wrapped(console, _claims(report.pieces, answer), 0)
    console.print()
    for note in report.cited:
        _quote(console, f"[{note.number}]", note)
    if not report.cited and report.others:
        console.print(Text("Nearest passages:", style="dim"))
        for note in report.others[:_QUOTES_SHOWN]:
            _quote(console, " · ", note)
    console.print(Text(footer(answer), style="dim"))


def _show_found(report: Report) -> None:
    if not report.found:
        return
    console = output()
    console.print()
    console.print(Text(f"{NO_ANSWER} {FOUND}:", style="bold"))
    console.print()
    for text in report.found.notes:
        _wrapped(console, Text(text), 4)
        console.print()
    for note in report.others[:_FOUND_SHOWN]:
        _quote(console, f"[{note.number}]", note)
    left = len(report.others) - _FOUND_SHOWN
    if left > 0:
        console.print(Text(f"{left:,} more: rereader show {report.run.id} --json", style="dim"))
    console.print(Text(f"run {report.run.id} · {report.run.graph} · {cost(report.run.usage)}", style="dim"))


def _claims(pieces: Sequence[Piece], answer: Answer) -> Text:
    if not pieces:
        spent = answer.status == "budget_spent"
        missing = "(the budget was spent before anything was found)" if spent else "(no answer was asked for)"
        return Text(missing, style="bold")
    shown = Text()
    for piece in pieces:
        shown.append(piece.text, style="bold")
        for number in piece.notes:
            shown.append(f" [{number}]", style="cyan")
        if answer.claims and not piece.notes:
            shown.append(f" ({UNCARRIED})", style="dim")
        shown.append(piece.gap)
    return shown


def _quote(console: Console, mark: str, note: Note) -> None:
    evidence = note.evidence
    state = "verified" if evidence.verified else "NOT verified"
    where = f"{note.place}, characters {evidence.start}-{evidence.end}, {state}"
    console.print(Text(f"{mark} ", style="cyan") + Text(where, style="dim"))
    text = shortened(evidence.quote, _QUOTE_CHARACTERS)
    parts = [(note.around.before, "dim"), (f"“{text}”", "bold green"), (note.around.after, "dim")]
    _wrapped(console, Text(" ").join(Text(part, style=style) for part, style in parts if part), 4)
    console.print()


def _wrapped(console: Console, text: Text, indent: int) -> None:
    """Wrap at the terminal's width; a pipe gets whole lines."""
    console.print(Padding(text, (0, 0, 0, indent), expand=False), soft_wrap=not console.is_terminal)


def footer(answer: Answer) -> str:
    """One line: run, graph, models, cost, seconds per stage."""
    parts = [f"run {answer.run_id}", answer.graph]
    if answer.status != "answered":
        parts.append(answer.status.replace("_", " "))
    return " · ".join(part for part in [*parts, confidence_words(answer), cost(answer.usage)] if part)


def cost(usage: Usage) -> str:
    """Calls, tokens and seconds of a run or step."""
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in usage.seconds.items() if seconds >= 0.05)
    total = f"{spent(usage)} · {sum(usage.seconds.values()):.1f} s"
    return f"{total} ({stages})" if stages else total


def spent(usage: Usage) -> str:
    """Calls and tokens of a run or step."""
    return f"{counted(usage.calls, 'call')} ({usage.cached_calls:,} cached) · {counted(usage.total_tokens, 'token')}"


def show_run(report: Report) -> None:
    """Print a run step by step and its answer."""
    console, run = output(), report.run
    console.print(Text(run.question, style="bold"))
    console.print(Text(f"run {run.id} · {run.graph} · {run.status}", style="dim"))
    table = Table(*STEP_COLUMNS, box=None, padding=(0, 2, 0, 0))
    for step in report.steps:
        table.add_row(*(Text(cell) for cell in step_cells(step)))
    console.print(table)
    if spent := outcome(report.steps):
        console.print(Text(spent, style="dim"))
    if run.failure:
        console.print(Text(report.ending, style="red"))
    show_answer(report)


STEP_COLUMNS = ("step", "node", "seconds", "calls", "tokens", "memory", "what")


def step_cells(step: Step) -> tuple[str, ...]:
    """A step as one row of a table."""
    return (
        str(step.number),
        step.node,
        f"{step.seconds:.2f}",
        f"{step.usage.calls}",
        f"{step.usage.total_tokens:,}",
        f"v{step.memory_version}",
        what(step),
    )


def _chunks(keys: Sequence[Sequence[int]]) -> str:
    """Chunks given as ``[document position, ordinal]``; the document is said unless all are of the first."""
    several = any(position for position, _ in keys)
    return ", ".join(f"{position + 1}:{ordinal}" if several else str(ordinal) for position, ordinal in keys)


def what(step: Step) -> str:
    """A step's decisions in a few words."""
    detail = step.detail
    if "decisions" in detail:
        accepted = [row for row in detail["decisions"] if row[-1]]
        chunks = counted(len(detail["decisions"]), "chunk")
        return f"{len(accepted)} of {chunks} let in: {', '.join(str(r[1]) for r in accepted)}"
    read = f"; read the compressed memories of chunks {_chunks(detail['blocks'])}" if detail.get("blocks") else ""
    if "draft" in detail and read:
        return f"drafted {detail['draft']!r}{read}"
    if "scores" in detail:
        return f"{counted(len(detail['scores']), 'quote')} added{read}"
    if "draft" in detail:
        return f"drafted {detail['draft']!r}"
    if "stopped" in detail:
        return str(detail["stopped"])
    if read:
        return read.removeprefix("; ")
    hidden = ("warnings", "work", "estimate")
    return ", ".join(f"{name} {value}" for name, value in detail.items() if name not in hidden)
