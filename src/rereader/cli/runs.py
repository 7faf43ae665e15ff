"""``rereader runs`` and ``rereader show``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from rereader.cli import completion, options
from rereader.cli.ask import EXIT_CODES
from rereader.cli.console import interruptible, output, print_json
from rereader.cli.heat import heat_fields, heats_of, show_heats
from rereader.cli.progress import listener
from rereader.cli.report import make_report
from rereader.cli.showing import check_forms, open_page, show_report, write_file
from rereader.cli.step import show_moment
from rereader.cli.tree import tree
from rereader.memory.library import Library
from rereader.models.roles import RoleNames
from rereader.runs.fields import run_fields, seen, step_fields
from rereader.runs.timeline import moment
from rereader.schema import InputError

app = typer.Typer(help="List and resume runs.", no_args_is_help=True)
app.command("tree")(tree)
RunId = Annotated[str, typer.Argument(help="Id of a run, or its first characters.", autocompletion=completion.run_ids)]


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
    run_id: RunId, workspace: options.Workspace = None, json: options.Json = False, quiet: options.Quiet = False
) -> int:
    """Go on with a run that was interrupted or killed; no finished model call is made again.

    For example:

    rereader runs resume 3f2a
    """
    from rereader.runs.session import open_session

    config = options.configuration(workspace)
    with Library(config.workspace) as library:
        run = library.runs.get(run_id)
        cut_by = library.runs.cut_by(run)
    with (
        interruptible() as cancel,
        listener(quiet=quiet) as listen,
        open_session(
            config.workspace,
            names=RoleNames(**run.models),
            models_dir=config.models_dir,
            runtime="transformers",  # a model that llama.cpp ran is marked by its name
            counted_by=RoleNames(**cut_by),
        ) as session,
    ):
        answer = session.resume(run.id, listen=listen, cancel=cancel)
        report = make_report(session.library, session.library.runs.get(run.id))
    show_report(report, steps=False, json=json, markdown=False)
    return EXIT_CODES[answer.status]


def show(
    run_id: RunId,
    workspace: options.Workspace = None,
    json: options.Json = False,
    markdown: options.Markdown = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the run with all its steps to this file; it needs no other.")
    ] = None,
    heat: Annotated[
        bool, typer.Option("--heat", help="Show what attention looked at in each round, with bars.")
    ] = False,
    step: Annotated[
        int | None, typer.Option(help="Show this step: memory before and after, decisions, prompts, replies.")
    ] = None,
) -> None:
    """Show a run: each step with its decisions and cost, then the answer; or all there is of one step.

    For example:

    rereader show 3f2a --json

    rereader show 3f2a --step 4

    rereader show 3f2a --heat

    rereader show 3f2a --markdown > answer.md

    rereader show 3f2a --html run.html
    """
    check_forms(json=json, markdown=markdown, html=html)
    config = options.configuration(workspace)
    if step is not None:
        _refuse_beside_step({"--heat": heat, "--markdown": markdown, "--html": html is not None})
    with Library(config.workspace) as library:
        run = seen(library, library.runs.get(run_id))
        if step is not None:
            show_moment(library, run, moment(library, run, step, [config.graphs_dir]), json=json)
            return
        steps = library.runs.steps(run.id)
        report = make_report(library, run, steps)
        if heat:
            _show_heat(library, run.id, json=json)
            return
        if html is not None:
            from rereader.server.offline import offline_page

            write_file(offline_page(library, run, [config.graphs_dir], config.private_folders), html)
    if json:
        print_json({**run_fields(run), "steps": [step_fields(step) for step in steps]})
    elif markdown or html is None:
        show_report(report, steps=True, json=False, markdown=markdown)


def _refuse_beside_step(given: dict[str, bool]) -> None:
    for option in (option for option, is_given in given.items() if is_given):
        raise InputError(f"--step and {option} cannot be had together.", "Leave one of them out.")


def open_run(
    run_id: RunId,
    quote: Annotated[int | None, typer.Option(help="Number of the quote to go to.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Only write the page and print its path.")] = False,
    workspace: options.Workspace = None,
) -> None:
    """Open a run's answer in the browser: every quote in its place in the text, with a way to the document's file.

    For example:

    rereader open 3f2a --quote 2

    rereader open 3f2a --print
    """
    with Library(options.configuration(workspace).workspace) as library:
        run = seen(library, library.runs.get(run_id))
        report = make_report(library, run, library.runs.steps(run.id))
        open_page(library, report, quote, only_print=only_print)


def _show_heat(library: Library, run_id: str, *, json: bool) -> None:
    found = heats_of(library, run_id)
    if json:
        print_json([heat_fields(library, one) for one in found])
    else:
        show_heats(library, found)
