"""``rereader estimate``, and what ``ask`` and ``show`` say of an estimate."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rereader.cli import options
from rereader.cli.console import at_once, notes, output, print_json
from rereader.memory.documents import document_id
from rereader.memory.runs import Step
from rereader.runs.estimated import compare
from rereader.schema import InputError
from rereader.schema.wording import counted

if TYPE_CHECKING:
    from rereader.runs.estimating import Estimate
    from rereader.runs.session import Session

LONG_SECONDS = 60.0
"""``ask`` tells beforehand of runs that are expected to take longer."""
_USUAL_QUESTION = "What is said about it, by whom, when, where and for what reason?"
"""Stands in for a question that was not given: an ordinary one in length."""
_SOURCES = {
    "runs": "by what runs in this workspace took",
    "measured": "by rates measured on this machine",
    "guess": "a guess for lack of measurements; see 'rereader doctor --measure'",
}


def estimate(
    arguments: Annotated[
        list[str], typer.Argument(metavar="FILE... [QUESTION]", help="Files, folders or '-', then perhaps a question.")
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
    encoding: options.Encoding = None,
    password: options.Password = None,
    workspace: options.Workspace = None,
    json: options.Json = False,
) -> None:
    """Say what a question would cost before it is asked: calls, tokens, seconds and disk of every stage.

    Nothing is stored and no model is loaded. What the workspace holds already costs nothing.

    For example:

    rereader estimate novel.txt "Who keeps the bees?"

    rereader estimate novel.txt --graph full-context --json
    """
    from rereader.runs.session import open_session

    sources, question = split(arguments)
    config = options.configuration(workspace)
    names, _ = options.role_names(config, model, role, base_url, api_key_env)
    values = options.graph_settings(settings, gist, memory)
    options.check_memory(memory, graph or config.graph)
    with open_session(config.workspace, names=names, models_dir=config.models_dir, runtime=runtime) as session:
        documents = lengths(session, sources, encoding, password)
        found = session.estimate(question, documents, graph=graph or config.graph, settings=values)
    if json:
        print_json(found.as_json())
    else:
        show_estimate(found)


def split(arguments: Sequence[str]) -> tuple[list[str], str]:
    """Files and question; the last argument is the question unless it is a file or the only one."""
    last = arguments[-1]
    if last == "-" or os.path.exists(last):  # noqa: PTH110 - a question may be longer than a file name
        return list(arguments), _USUAL_QUESTION
    return list(arguments[:-1]), last


def lengths(
    session: Session, sources: Sequence[str], encoding: str | None, password: str | None = None
) -> list[tuple[str, int]]:
    """Ids and lengths of the documents that the sources name; of all documents of the workspace without sources.

    Raises:
        InputError: If there is none, or one cannot be read.
    """
    if not sources:
        found = [(document.id, document.length) for document in session.library.documents.all()]
        if not found:
            raise InputError("There is no document to ask.", "Name a file, or add one with 'rereader add'.")
        return found
    from rereader.tools.loaders import load_source

    load = partial(load_source, encoding=encoding, password=password, stdin=sys.stdin.buffer)
    texts = [text for one in sources for text in load(one)]
    return list({document_id(text.text, text.loader): len(text.text) for text in texts}.items())


def show_estimate(found: Estimate) -> None:
    """Print an estimate stage by stage."""
    table = Table("stage", "calls", "tokens in", "out", "embedded", "seconds", "disk", box=None, padding=(0, 2, 0, 0))
    for name, seconds in found.loads.items():
        table.add_row(f"load {name}", "", "", "", "", f"{seconds:.1f}", "")
    for stage in found.stages:
        numbers = (stage.calls, stage.tokens_in, stage.tokens_out, stage.embedded_tokens)
        counts = [f"{number:,}" if number else "" for number in numbers]
        table.add_row(stage.stage, *counts, f"{stage.seconds:.1f}", size(stage.disk) if stage.disk else "")
    output().print(table)
    output().print(line(found), markup=False)


def line(found: Estimate) -> str:
    """An estimate in one line."""
    parts = [f"about {duration(found.seconds)}", counted(found.total("calls"), "model call")]
    parts.append(counted(found.total("tokens_in") + found.total("tokens_out"), "token"))
    if disk := found.total("disk"):
        parts.append(f"{size(disk)} on disk")
    return f"{', '.join(parts)} ({_SOURCES[found.source]})"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def expected(
    session: Session, question: str, documents: Sequence[str], graph: str, settings: Mapping[str, Any]
) -> Estimate:
    """What asking about stored documents will cost."""
    found = [session.library.documents.get(identity) for identity in documents]
    return session.estimate(question, [(one.id, one.length) for one in found], graph=graph, settings=settings)


def announce(found: Estimate, *, confirm: bool) -> bool:
    """Tell of a long run before it starts; returns whether it was told.

    Args:
        found: What the run is expected to cost.
        confirm: Ask whether to go on, however short it is.

    Raises:
        typer.Abort: If the user does not want to.
    """
    told = confirm or found.seconds > LONG_SECONDS
    if told:
        notes().print(f"note: this will take {line(found)}", markup=False)
    if confirm:
        with at_once():
            typer.confirm("Go on?", abort=True, err=True)
    return told


def outcome(steps: Sequence[Step]) -> str:
    """Estimate against actual of a finished run in one line; empty for a run that was not estimated."""
    found = compare(steps)
    if found is None:
        return ""
    return f"estimated {duration(found.expected)}, took {duration(found.actual)} with loading models"
