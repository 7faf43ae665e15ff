"""``rereader diff``: the working memory at two steps of a run, or two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rereader.cli import completion, options
from rereader.cli.coloured import coloured, indented
from rereader.cli.console import output, print_json, shortened
from rereader.cli.display import cost
from rereader.cli.step import heading, show_memory
from rereader.cli.where import where
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.differences import Differing, Parting, RunDiff, run_diff
from rereader.runs.fields import seen
from rereader.runs.timeline import MemoryDiff, memory_diff
from rereader.schema import Evidence, InputError

_QUOTE = 160
"""Characters of a quote that are shown."""


def diff(
    run: options.RunId,
    first: Annotated[
        str, typer.Argument(help="Another run; or a step, 0 for the beginning.", autocompletion=completion.run_ids)
    ],
    last: Annotated[str | None, typer.Argument(help="A later step.", show_default=False)] = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> None:
    """Show what changed in a run's working memory between two steps, or what tells two runs apart.

    For example:

    rereader diff 3f2a 0 5

    rereader diff 3f2a 9c1b --json
    """
    with Library(options.configuration(workspace).workspace) as library:
        one = seen(library, library.runs.get(run))
        if last is None:
            _show_runs(run_diff(library, one, seen(library, _other(library, run, first))), json=json)
            return
        steps = _step(first), _step(last)
        memory = memory_diff(library, one, *steps)
    if json:
        print_json({"run_id": one.id, "first": steps[0], "last": steps[1], **to_jsonable_python(memory)})
    else:
        _show_memory(one.id, steps, memory)


def _step(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        hint = "Say RUN FIRST LAST for two steps of a run, RUN1 RUN2 for two runs."
        raise InputError(f"{text!r} is not the number of a step.", hint)
    return int(text)


def _other(library: Library, run: str, named: str) -> Run:
    """The run to compare with; a number that is none was meant as a step."""
    try:
        return library.runs.get(named)
    except InputError as error:
        if not (named.isascii() and named.isdigit()):
            raise
        hint = f"Name two steps (rereader diff {run} 0 {named}), or two runs."
        raise InputError(f"{named!r} alone is no run to compare with.", hint) from error


def _show_memory(run_id: str, steps: Sequence[int], memory: MemoryDiff) -> None:
    console = output()
    console.print(Text(f"run {run_id} · step {steps[0]} against step {steps[1]}", style="dim"))
    show_memory(console, memory)


def _show_runs(found: RunDiff, *, json: bool) -> None:
    if json:
        print_json(to_jsonable_python(found))
        return
    console = output()
    console.print(coloured(console, found.question) if found.question else Text(""), style="bold")
    _sides(console, found)
    _differing(console, "Settings that differ", found.settings)
    _differing(console, "Models that differ", found.models)
    heading(console, "Answer" if len(found.answer) > 1 else "Answer (the same)")
    indented(console, coloured(console, found.answer) if found.answer else Text("none", style="dim"), 2)
    _quotes(console, "Quotes in both", found.both)
    _quotes(console, f"Quotes in {found.one.id} only", found.only_one)
    _quotes(console, f"Quotes in {found.other.id} only", found.only_other)
    heading(console, "Where they part")
    console.print(Text(f"  {parted(found.parting)}"))


def _sides(console: Console, found: RunDiff) -> None:
    table = Table("", found.one.id, found.other.id, box=None, padding=(0, 2, 0, 0))
    sides = (found.one, found.other)
    table.add_row("graph", *(Text(run.graph) for run in sides))
    table.add_row("status", *(run.status for run in sides))
    if any(run.forked_at is not None for run in sides):
        table.add_row("forked", *(_forked(run) for run in sides))
    table.add_row("cost", *(cost(run.usage) for run in sides))
    console.print(table)
    if found.one.document_ids != found.other.document_ids:
        console.print(Text("They read different documents.", style="yellow"))


def _forked(run: Run) -> str:
    """What a run goes on from; one that is forked at step 0 takes nothing over."""
    return "" if run.forked_at is None else f"{run.parent} after step {run.forked_at}"


def _differing(console: Console, title: str, rows: Sequence[Differing]) -> None:
    if not rows:
        return
    heading(console, title)
    table = Table("", "one", "other", box=None, show_header=False, padding=(0, 2, 0, 2))
    for row in rows:
        table.add_row(row.name, *(Text("-" if value is None else str(value)) for value in (row.one, row.other)))
    console.print(table)


def _quotes(console: Console, title: str, quotes: Sequence[Evidence]) -> None:
    if not quotes:
        return
    heading(console, f"{title}: {len(quotes)}")
    for quote in quotes:
        place = f"  {where(quote)}, characters {quote.start}-{quote.end} "
        console.print(Text(place, "dim") + Text(f"“{shortened(quote.quote, _QUOTE)}”", "green"))


def parted(parting: Parting | None) -> str:
    """Where two runs part, in words."""
    if parting is None:
        return "Nowhere: every step asked, decided and wrote the same."
    one, other = parting.nodes
    step, named = f"Step {parting.number}", ", ".join(parting.named)
    if parting.what == "end":
        return f"{step}: one run has ended; the other goes on with {one or other}."
    if parting.what == "node":
        return f"{step}: {one} in one run, {other} in the other."
    words = {
        "prompt": f"the prompts of calls {named} differ",
        "reply": f"the same was asked, and the replies to calls {named} differ",
        "detail": f"what it decided differs ({named})",
        "memory": f"what it wrote into the working memory differs ({named})",
    }
    return f"{step}, {one}: {words[parting.what]}."
