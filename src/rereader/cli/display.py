"""Answers, runs and tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rereader.cli.console import output
from rereader.memory.runs import Run, Step
from rereader.schema import Answer, Evidence, Usage

_QUOTE_CHARACTERS = 320
_QUOTES_SHOWN = 3


def show_answer(answer: Answer) -> None:
    """Print an answer, the quotes it rests on, and what it cost."""
    console = output()
    cited = sorted({index for claim in answer.claims for index in claim.evidence})
    marks = "".join(f" [{i + 1}]" for i in range(len(cited)))
    console.print()
    spent = answer.status == "budget_spent"
    missing = "(the budget was spent before anything was found)" if spent else "(no answer was asked for)"
    console.print(Text(answer.answer or missing, style="bold") + Text(marks, style="cyan"))
    console.print()
    for number, index in enumerate(cited, 1):
        _quote(console, f"[{number}]", answer.evidence[index])
    if not cited and answer.evidence:
        console.print(Text("Nearest passages:", style="dim"))
        for item in sorted(answer.evidence, key=lambda e: -(e.score or 0.0))[:_QUOTES_SHOWN]:
            _quote(console, " · ", item)
    console.print(Text(footer(answer), style="dim"))


def _quote(console: Console, mark: str, item: Evidence) -> None:
    state = "verified" if item.verified else "NOT verified"
    where = f"{item.document}, line {item.line}, characters {item.start}-{item.end}, {state}"
    console.print(Text(f"{mark} ", style="cyan") + Text(where, style="dim"))
    text = " ".join(item.quote.split())
    if len(text) > _QUOTE_CHARACTERS:
        text = text[:_QUOTE_CHARACTERS] + "…"
    console.print(Padding(Text(f"“{text}”"), (0, 0, 1, 4)))


def footer(answer: Answer) -> str:
    """One line: run, graph, models, cost, seconds per stage."""
    parts = [f"run {answer.run_id}", answer.graph]
    if answer.status != "answered":
        parts.append(answer.status.replace("_", " "))
    if answer.confidence is not None:
        parts.append(f"confidence {answer.confidence:.2f}")
    return " · ".join([*parts, cost(answer.usage)])


def cost(usage: Usage) -> str:
    """Calls, tokens and seconds of a run or step."""
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in usage.seconds.items() if seconds >= 0.05)
    calls = f"{usage.calls} calls ({usage.cached_calls} cached)"
    return f"{calls} · {usage.total_tokens:,} tokens · {sum(usage.seconds.values()):.1f} s ({stages})"


def show_run(run: Run, steps: Sequence[Step]) -> None:
    """Print a run step by step and its answer."""
    console = output()
    console.print(Text(run.question, style="bold"))
    console.print(Text(f"run {run.id} · {run.graph} · {run.status}", style="dim"))
    table = Table("step", "node", "seconds", "calls", "tokens", "memory", "what", box=None, padding=(0, 2, 0, 0))
    for step in steps:
        table.add_row(
            str(step.number),
            step.node,
            f"{step.seconds:.2f}",
            f"{step.usage.calls}",
            f"{step.usage.total_tokens:,}",
            f"v{step.memory_version}",
            Text(what(step)),
        )
    console.print(table)
    if run.answer:
        show_answer(run.answer)


def what(step: Step) -> str:
    """A step's decisions in a few words."""
    detail = step.detail
    if "decisions" in detail:
        accepted = [row for row in detail["decisions"] if row[-1]]
        return f"{len(accepted)} of {len(detail['decisions'])} chunks let in: {', '.join(str(r[1]) for r in accepted)}"
    if "scores" in detail:
        return f"{len(detail['scores'])} quotes added"
    if "draft" in detail:
        return f"drafted {detail['draft']!r}"
    if "stopped" in detail:
        return str(detail["stopped"])
    return ", ".join(f"{name} {value}" for name, value in detail.items() if name != "warnings")
