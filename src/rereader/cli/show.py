"""``rereader show`` and ``rereader open``. What a form of output needs is loaded when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rereader.cli import options
from rereader.cli.console import print_json
from rereader.config import Config
from rereader.memory.library import Library
from rereader.runs.fields import run_fields, seen, step_fields
from rereader.runs.so_far import so_far_fields
from rereader.schema import InputError


def show(
    run_id: options.RunId,
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
    config = options.configuration(workspace)
    if step is not None:
        _refuse_beside_step({"--heat": heat, "--markdown": markdown, "--html": html is not None})
        _show_step(config, run_id, step, json=json)
        return
    from rereader.cli.showing import check_forms

    check_forms(json=json, markdown=markdown, html=html)
    if heat:
        _show_heat(config, run_id, json=json)
    else:
        _show_run(config, run_id, json=json, markdown=markdown, html=html)


def _refuse_beside_step(given: dict[str, bool]) -> None:
    for option in (option for option, is_given in given.items() if is_given):
        raise InputError(f"--step and {option} cannot be had together.", "Leave one of them out.")


def _show_step(config: Config, run_id: str, number: int, *, json: bool) -> None:
    from rereader.cli.step import show_moment
    from rereader.runs.timeline import moment

    with Library(config.workspace) as library:
        run = seen(library, library.runs.get(run_id))
        show_moment(library, run, moment(library, run, number, [config.graphs_dir]), json=json)


def _show_heat(config: Config, run_id: str, *, json: bool) -> None:
    from rereader.cli.heat import heat_fields, heats_of, show_heats

    with Library(config.workspace) as library:
        found = heats_of(library, library.runs.get(run_id).id)
        if json:
            print_json([heat_fields(library, one) for one in found])
        else:
            show_heats(library, found)


def _show_run(config: Config, run_id: str, *, json: bool, markdown: bool, html: Path | None) -> None:
    from rereader.cli.report import make_report
    from rereader.cli.showing import show_report, write_file

    with Library(config.workspace) as library:
        run = seen(library, library.runs.get(run_id))
        steps = library.runs.steps(run.id)
        report = make_report(library, run, steps)
        if html is not None:
            from rereader.server.offline import offline_page

            write_file(offline_page(library, run, [config.graphs_dir], config.private_folders), html)
    if json:
        found = {} if run.answer else {"so_far": so_far_fields(run, report.found)}
        print_json({**run_fields(run), **found, "steps": [step_fields(step) for step in steps]})
    elif markdown or html is None:
        show_report(report, steps=True, json=False, markdown=markdown)


def open_run(
    run_id: options.RunId,
    quote: Annotated[int | None, typer.Option(help="Number of the quote to go to.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Only write the page and print its path.")] = False,
    workspace: options.Workspace = None,
) -> None:
    """Open a run's answer in the browser: every quote in its place in the text, with a way to the document's file.

    For example:

    rereader open 3f2a --quote 2

    rereader open 3f2a --print
    """
    from rereader.cli.report import make_report
    from rereader.cli.showing import open_page

    with Library(options.configuration(workspace).workspace) as library:
        run = seen(library, library.runs.get(run_id))
        report = make_report(library, run, library.runs.steps(run.id))
        open_page(library, report, quote, only_print=only_print)
