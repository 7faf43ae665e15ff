"""``rereader doctor``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from rereader.cli import options
from rereader.cli.console import notes, output, print_json

if TYPE_CHECKING:
    from rereader.runs.doctor.examination import Examined

_MARKS = {"ok": ("ok     ", "green"), "note": ("note   ", "cyan")}
_MARKS |= {"warning": ("warning", "yellow"), "problem": ("PROBLEM", "bold red")}
_PROBLEM = 1


def doctor(
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure speeds and hash every model file; takes minutes.")
    ] = False,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> int:
    """Examine the installation, the machine, the models and the workspace, and say how to mend what is wrong.

    Nothing is changed. Exits with 0 when there is no problem, with 1 otherwise; notes and warnings are no problems.

    For example:

    rereader doctor

    rereader doctor --measure
    """
    from rereader.runs.doctor.examination import examine, is_well
    from rereader.runs.doctor.scope import Scope

    scope = Scope(options.configuration(workspace), measure, lambda text: notes().print(f"{text} ...", markup=False))
    found = examine(scope)
    if json:
        rows = [{"topic": one.topic, **asdict(one.finding)} for one in found]
        print_json({"well": is_well(found), "findings": rows})
    else:
        show(found)
    return 0 if is_well(found) else _PROBLEM


def show(found: Sequence[Examined]) -> None:
    """Print findings by topic, each with its mend below it."""
    topic = ""
    for one in found:
        if one.topic != topic:
            topic = one.topic
            output().print(Text(topic, style="bold"))
        mark, style = _MARKS[one.finding.state]
        output().print(Text("  ") + Text(mark, style=style) + Text(f"  {one.finding.what}"))
        if one.finding.mend:
            output().print(Text(f"           {one.finding.mend}", style="dim"))
    counts = Counter(one.finding.state for one in found)
    said = [f"{counts[state]} {state}s" for state in ("problem", "warning", "note") if counts[state]]
    output().print(", ".join(said) or "All is well.", markup=False)
