"""``rereader ask``."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from rereader.cli import completion, options
from rereader.cli.console import interruptible, notes
from rereader.cli.estimating import announce, expected, outcome
from rereader.cli.progress import listener
from rereader.cli.report import make_report
from rereader.cli.showing import check_forms, found_shown, show_report, write_page
from rereader.schema import InputError

EXIT_CODES = {"answered": 0, "budget_spent": 3, "declined": 4}


def ask(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[FILE]... QUESTION", help="Files, folders or '-', then the question.")
    ],
    graph: options.Graph = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key_env: options.ApiKeyEnv = None,
    runtime: options.Runtime = None,
    role: options.Role = None,
    settings: options.Set = None,
    gist: options.Gist = None,
    memory: options.Memory = None,
    run: Annotated[
        str | None, typer.Option(help="Ask a follow-up on this run's documents.", autocompletion=completion.run_ids)
    ] = None,
    max_tokens: options.MaxTokens = None,
    max_calls: options.MaxCalls = None,
    max_seconds: options.MaxSeconds = None,
    encoding: options.Encoding = None,
    password: options.Password = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
    markdown: options.Markdown = False,
    html: options.Html = None,
    quiet: options.Quiet = False,
    confirm: options.Confirm = False,
) -> int:
    """Answer a question about files, or about the whole workspace when no file is named.

    For example:

    rereader ask novel.txt "Who keeps the bees?"

    rereader ask letters/ notes.md "When was the mill sold?" --graph retrieval

    zcat book.gz | rereader ask - "Where does it begin?" --json

    rereader ask --run 3f2a "And who bought it?"

    rereader ask novel.txt "Who keeps the bees?" --html bees.html

    rereader ask novel.txt "Who keeps the bees?" --memory kv --runtime transformers
    """
    from rereader.graphs.registry import get_graph
    from rereader.runs.api import check, documents_to_ask
    from rereader.runs.documents import read_sources
    from rereader.runs.session import open_session

    *sources, question = arguments
    check_question(sources, question, run)
    check_forms(json=json, markdown=markdown, html=html)
    budget = options.make_budget(max_tokens, max_calls, max_seconds)
    config = options.configuration(workspace)
    names, warnings = options.role_names(config, model, role, base_url, api_key_env)
    values = options.graph_settings(settings, gist, memory)
    with (
        interruptible() as cancel,
        open_session(
            config.workspace, names=names, models_dir=config.models_dir, runtime=runtime, warnings=warnings
        ) as session,
        found_shown(session.library, json=json, markdown=markdown, html=html),
        listener(quiet=quiet) as listen,
    ):
        before = session.library.runs.get(run) if run else None
        chosen = graph or (before.graph if before else config.graph)
        options.check_memory(memory, chosen)
        if before and chosen == before.graph:
            values = {**get_graph(chosen).still_known(before.settings), **values}
        texts = read_sources(sources, encoding=encoding, password=password, stdin=sys.stdin.buffer)
        check(session, question, chosen, values)
        identities = list(before.document_ids) if before else documents_to_ask(session, texts, listen=listen)
        told = announce(expected(session, question, identities, chosen, values), confirm=confirm)
        parent = before.id if before else None
        how: dict[str, Any] = {"graph": chosen, "settings": values, "budget": budget, "parent": parent}
        answer = session.ask(question, identities, **how, listen=listen, cancel=cancel)
        runs = session.library.runs
        steps = runs.steps(answer.run_id)
        report = make_report(session.library, runs.get(answer.run_id), steps)
    if told:
        notes().print(f"note: {outcome(steps)}", markup=False)
    show_report(report, steps=False, json=json, markdown=markdown)
    write_page(report, html)
    return EXIT_CODES[answer.status]


def check_question(sources: list[str], question: str, run: str | None = None) -> None:
    """Refuse an empty question, a file where the question belongs, and files beside ``--run``."""
    if not question.strip():
        raise InputError("The question is empty.", "Put it last, in quotes.")
    if os.path.exists(question):  # noqa: PTH110 - pathlib's raises where a question is longer than a file name may be
        raise InputError(f"The question is missing: {question!r} is a file.", "Put the question last, in quotes.")
    if run and sources:
        raise InputError("--run asks about the documents of that run.", "Name no files with it.")
