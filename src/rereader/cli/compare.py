"""``rereader compare``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rereader.cli import completion, options
from rereader.cli.ask import EXIT_CODES, check_question
from rereader.cli.comparison_display import show_comparison
from rereader.cli.comparison_page import comparison_page
from rereader.cli.console import at_once, interruptible, notes, print_json
from rereader.cli.estimating import LONG_SECONDS, duration, line
from rereader.cli.progress import listener
from rereader.cli.report import Report, make_report
from rereader.cli.showing import check_forms, write_file
from rereader.schema import Event

if TYPE_CHECKING:
    from rereader.runs.comparing import Comparison
    from rereader.runs.estimating import Estimate
    from rereader.runs.rows import Row
    from rereader.runs.session import Listen, Session
    from rereader.runs.systems import System


def compare(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[FILE]... QUESTION", help="Files, folders or '-', then the question.")
    ],
    graphs: Annotated[
        list[str] | None,
        typer.Option(
            "--graphs",
            "-g",
            help="Graphs with commas between; one with settings is GRAPH:SETTING=VALUE, its own name NAME=GRAPH.",
            show_default="all",
            autocompletion=completion.graph_names,
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Run each graph in an empty workspace and a process of its own; keeps no run."),
    ] = False,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key_env: options.ApiKeyEnv = None,
    runtime: options.Runtime = None,
    role: options.Role = None,
    settings: options.Set = None,
    gist: options.Gist = None,
    memory: options.Memory = None,
    max_tokens: options.MaxTokens = None,
    max_calls: options.MaxCalls = None,
    max_seconds: options.MaxSeconds = None,
    encoding: options.Encoding = None,
    password: options.Password = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
    html: options.Html = None,
    quiet: options.Quiet = False,
    confirm: options.Confirm = False,
) -> int:
    """Put one question to several graphs, with the same documents, models and budget, and show them side by side.

    --set holds for every graph that has the setting. A graph that fails does not stop the others. After Ctrl-C the
    same command goes on: no finished model call is repeated.

    For example:

    rereader compare novel.txt "Who keeps the bees?" --graphs retrieval,compressed-memory

    rereader compare novel.txt "Who keeps the bees?" --budget 20000 --html bees.html

    rereader compare novel.txt "Who keeps the bees?" -g retrieval,few=retrieval:evidence_words=60 --fresh --json
    """
    from rereader.runs.api import documents_to_ask
    from rereader.runs.comparing import compare as run_all
    from rereader.runs.documents import read_sources
    from rereader.runs.isolated import Apart
    from rereader.runs.session import open_session
    from rereader.runs.systems import every_system, read_systems, with_common

    *sources, question = arguments
    check_question(sources, question)
    check_forms(json=json, markdown=False, html=html)
    budget = options.make_budget(max_tokens, max_calls, max_seconds)
    config = options.configuration(workspace)
    names, warnings = options.role_names(config, model, role, base_url, api_key_env)
    named = read_systems(graphs) if graphs else every_system()
    systems, told = with_common(named, options.graph_settings(settings, gist, memory))
    with (
        interruptible() as cancel,
        listener(quiet=quiet) as events,
        open_session(
            config.workspace, names=names, models_dir=config.models_dir, runtime=runtime, warnings=warnings
        ) as session,
    ):
        listen = _once(events)
        for text in told:
            listen(Event("warning", "", text=text))
        texts = read_sources(sources, encoding=encoding, password=password, stdin=sys.stdin.buffer)
        if not fresh:  # else each process does so with a reader of its own
            session.check_question(question)
        identities = documents_to_ask(session, texts, listen=listen)
        expected = _expected(session, question, identities, systems, fresh=fresh)
        _announce(expected, confirm=confirm)
        found = run_all(
            session,
            question,
            identities,
            systems,
            budget=budget,
            apart=Apart(names, config.models_dir, runtime, tuple(warnings)) if fresh else None,
            listen=listen,
            cancel=cancel,
            begun=_beginning(expected, quiet=quiet),
            ended=_ending(quiet=quiet),
        )
        reports = [make_report(session.library, row.run) if row.run and row.answer else None for row in found.rows]
    _show(found, reports, json=json, html=html)
    return exit_code(found)


def exit_code(found: Comparison) -> int:
    """0 if a graph answered, else that of the first."""
    first = found.rows[0]
    if found.answered:
        return 0
    return EXIT_CODES[first.status] if first.failure is None else first.failure.exit_code


def _show(found: Comparison, reports: Sequence[Report | None], *, json: bool, html: Path | None) -> None:
    if json:
        print_json(found.as_json())
    else:
        show_comparison(found, reports)
    if html is not None:
        write_file(comparison_page(found, reports), html)


def _once(listen: Listen) -> Listen:
    """Every graph of a comparison has the same to say of the models; once is enough."""
    said = set()

    def heard(event: Event) -> None:
        if event.kind != "warning" or event.text not in said:
            said.add(event.text)
            listen(event)

    return heard


def _expected(
    session: Session, question: str, identities: Sequence[str], systems: Sequence[System], *, fresh: bool
) -> dict[str, Estimate]:
    """What each graph is expected to cost, by its system's name; as if it were the first."""
    found = [session.library.documents.get(identity) for identity in identities]
    # An empty workspace knows none of the documents; under these ids, neither does this one.
    lengths = [(f"fresh {one.id}" if fresh else one.id, one.length) for one in found]
    return {
        system.name: session.estimate(question, lengths, graph=system.graph, settings=system.settings)
        for system in systems
    }


def _announce(expected: Mapping[str, Estimate], *, confirm: bool) -> None:
    """Tell of a long comparison before it starts, and ask whether to go on if the user wants to be asked."""
    seconds = sum(one.seconds for one in expected.values())
    if confirm or seconds > LONG_SECONDS:
        for name, one in expected.items():
            notes().print(f"note: {name} will take {line(one)}", markup=False)
        notes().print(f"note: all together about {duration(seconds)}", markup=False)
    if confirm:
        with at_once():
            typer.confirm("Go on?", abort=True, err=True)


def _beginning(expected: Mapping[str, Estimate], *, quiet: bool) -> Callable[[System], None]:
    order = list(expected)

    def begun(system: System) -> None:
        if not quiet:
            place = f"{order.index(system.name) + 1} of {len(order)}"
            about = duration(expected[system.name].seconds)
            notes().print(f"{place}: {system.name}, about {about} ...", markup=False)

    return begun


def _ending(*, quiet: bool) -> Callable[[Row], None]:
    def ended(row: Row) -> None:
        if not quiet:
            state = row.status.replace("_", " ")
            notes().print(f"{row.system.name}: {state} after {duration(row.wall_seconds)}", markup=False)

    return ended
