"""``rereader runs tree``."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from rereader.cli import options
from rereader.cli.console import output, print_json
from rereader.memory.library import Library
from rereader.runs.fields import run_fields, seen

_SHORT = 60
_BRANCH, _LAST, _BESIDE, _BELOW = "├─ ", "└─ ", "│  ", "   "


def tree(workspace: options.Workspace = None, json: options.Json = False) -> None:
    """List runs with what came of them: forks and follow-ups under the run they are of.

    For example:

    rereader runs tree
    """
    from rereader.runs.families import families

    with Library(options.configuration(workspace).workspace) as library:
        found = families([seen(library, run) for run in library.runs.all()])
    if json:
        print_json([{**run_fields(one.run), "depth": one.depth, "descent": one.descent} for one in found])
        return
    table = Table("run", "of it", "graph", "status", "question", "answer", box=None, padding=(0, 2, 0, 0))
    open_above: list[bool] = []  # by depth: whether a sibling is still to come
    for one in found:
        del open_above[max(0, one.depth - 1) :]
        lines = "".join(_BESIDE if more else _BELOW for more in open_above)
        branch = (_LAST if one.last else _BRANCH) if one.depth else ""
        if one.depth:
            open_above.append(not one.last)
        run = one.run
        descent = f"fork at {run.forked_at}" if one.descent == "fork" else one.descent.replace("first", "")
        answer = run.answer.answer if run.answer else ""
        table.add_row(
            f"{lines}{branch}{run.id}", descent, run.graph, run.status, Text(run.question), Text(answer[:_SHORT])
        )
    output().print(table)
