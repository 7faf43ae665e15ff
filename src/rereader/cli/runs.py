"""``rereader runs``."""

from __future__ import annotations

import time

import typer
from rich.table import Table
from rich.text import Text

from rereader.cli import options
from rereader.cli.console import interruptible, output, print_json
from rereader.cli.tree import tree
from rereader.memory.library import Library
from rereader.runs.fields import run_fields, seen

app = typer.Typer(help="List and resume runs.", no_args_is_help=True)
app.command("tree")(tree)


@app.command("list")
def list_runs(workspace: options.Workspace = None, json: options.Json = False) -> None:
    """List runs, newest first.

    For example:

    rereader runs list
    """
    with Library(options.configuration(workspace).workspace) as library:
        found = [seen(library, run) for run in library.runs.all()]
    if json:
        print_json([run_fields(run) for run in found])
        return
    table = Table("run", "when", "graph", "status", "tokens", "question", box=None, padding=(0, 2, 0, 0))
    for run in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created_at))
        table.add_row(run.id, when, run.graph, run.status, f"{run.usage.total_tokens:,}", Text(run.question))
    output().print(table)


@app.command("resume")
def resume(
    run_id: options.RunId, workspace: options.Workspace = None, json: options.Json = False, quiet: options.Quiet = False
) -> int:
    """Go on with a run that was interrupted or killed; no finished model call is made again.

    For example:

    rereader runs resume 3f2a
    """
    from rereader.cli.ask import EXIT_CODES
    from rereader.cli.progress import listener
    from rereader.cli.report import make_report
    from rereader.cli.showing import found_shown, show_report
    from rereader.models.roles import RoleNames
    from rereader.runs.session import open_session

    config = options.configuration(workspace)
    with Library(config.workspace) as library:
        run = library.runs.get(run_id)
        cut_by = library.runs.cut_by(run)
    with (
        interruptible() as cancel,
        open_session(
            config.workspace,
            names=RoleNames(**run.models),
            models_dir=config.models_dir,
            runtime="transformers",  # a model that llama.cpp ran is marked by its name
            counted_by=RoleNames(**cut_by),
        ) as session,
        found_shown(session.library, json=json),
        listener(quiet=quiet) as listen,
    ):
        answer = session.resume(run.id, listen=listen, cancel=cancel)
        report = make_report(session.library, session.library.runs.get(run.id))
    show_report(report, steps=False, json=json, markdown=False)
    return EXIT_CODES[answer.status]
