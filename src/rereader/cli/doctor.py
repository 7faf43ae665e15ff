"""``rereader doctor``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from rereader.cli import options
from rereader.cli.console import notes, output, print_json
from rereader.cli.progress import progress_shown
from rereader.schema.wording import counted

if TYPE_CHECKING:
    from rereader.runs.doctor.examination import Examined

_MARKS = {"ok": ("ok     ", "green"), "mended": ("mended ", "green"), "note": ("note   ", "cyan")}
_MARKS |= {"warning": ("warning", "yellow"), "problem": ("PROBLEM", "bold red")}
_PROBLEM = 1


def doctor(
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure speeds, check every byte of models and workspace; minutes."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what can be mended in the workspace, and say what was done."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what damage was found by, as SQLite says it.")
    ] = False,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> int:
    """Examine the installation, the machine, the models and the workspace, and say how to mend what is wrong.

    Without --repair nothing is changed. Exits with 0 when there is no problem (left), with 1 otherwise; notes and
    warnings are no problems.

    For example:

    rereader doctor

    rereader doctor --measure

    rereader doctor --repair
    """
    from rereader.memory.care.hints import was_made
    from rereader.runs.doctor.examination import Examined, examine, is_well
    from rereader.runs.doctor.scope import Scope
    from rereader.runs.doctor.workspace import mend_workspace

    config = options.configuration(workspace)
    with progress_shown(quiet=False) as listen:
        scope = Scope(config, measure, _say, listen)
        mended = [Examined("repair", finding) for finding in mend_workspace(scope)] if repair else []
        made = repair and was_made(one.finding for one in mended)
        found = examine(replace(scope, repaired=made))
    well = is_well([*mended, *found])
    if json:
        print_json({"well": well, "repaired": _rows(mended), "findings": _rows(found)})
    else:
        show([*mended, *found], verbose=verbose)
    return 0 if well else _PROBLEM


def _say(text: str) -> None:
    notes().print(f"{text} ...", markup=False)


def _rows(found: Sequence[Examined]) -> list[dict[str, Any]]:
    return [{"topic": one.topic, **asdict(one.finding)} for one in found]


def show(found: Sequence[Examined], *, verbose: bool = False) -> None:
    """Print findings by topic, each with its mend below it, and if that is asked for what it was found by."""
    topic = ""
    for one, after in zip_longest(found, found[1:]):
        if one.topic != topic:
            topic = one.topic
            output().print(Text(topic, style="bold"))
        mark, style = _MARKS[one.finding.state]
        output().print(Text("  ") + Text(mark, style=style) + Text(f"  {one.finding.what}"))
        if one.finding.mend and (after is None or after.finding.mend != one.finding.mend):  # one for several
            output().print(Text(f"           {one.finding.mend}", style="dim"))
        for line in one.finding.detail if verbose else ():
            output().print(Text(f"           | {line}", style="dim"))
    counts = Counter(one.finding.state for one in found)
    said = [counted(counts[state], state) for state in ("problem", "warning", "note") if counts[state]]
    said += [f"{counts['mended']} mended"] if counts["mended"] else []
    output().print(", ".join(said) or "All is well.", markup=False)
