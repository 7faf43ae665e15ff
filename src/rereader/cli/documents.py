"""``rereader add``, ``documents`` and ``remove``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from rereader.cli import completion, options
from rereader.cli.console import agreed, interruptible, notes, output, print_json
from rereader.cli.progress import listener
from rereader.memory.library import Library
from rereader.schema import Event
from rereader.wording import plural


def add(
    sources: Annotated[list[str], typer.Argument(help="Files, folders, or '-' for standard input.")],
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
    quiet: options.Quiet = False,
) -> None:
    """Read documents and make the memories that a graph searches. What is done already is not done again.

    For example:

    rereader add novel.txt

    rereader add letters/ --gist model

    zcat book.gz | rereader add -
    """
    from rereader.runs.documents import add_sources
    from rereader.runs.session import open_session

    config = options.configuration(workspace)
    names, warnings = options.role_names(config, model, role, base_url, api_key_env)
    with (
        interruptible() as cancel,
        listener(quiet=quiet) as listen,
        open_session(config.workspace, names=names, models_dir=config.models_dir, runtime=runtime) as session,
    ):
        for text in warnings:
            listen(Event("warning", "", text=text))
        options.check_memory(memory, graph or config.graph)
        added = add_sources(
            session,
            sources,
            graph=graph or config.graph,
            settings=options.graph_settings(settings, gist, memory),
            encoding=encoding,
            password=password,
            stdin=sys.stdin.buffer,
            listen=listen,
            cancel=cancel,
        )
    if json:
        print_json([document.model_dump(mode="json") for document in added])
        return
    for document in added:
        output().print(f"{document.id[:12]}  {document.title}  {plural(document.length, 'character')}", markup=False)


def list_documents(workspace: options.Workspace = None, json: options.Json = False) -> None:
    """List the documents of the workspace.

    For example:

    rereader documents --json
    """
    from rereader.agents.languages import NAMES, document_language

    with Library(options.configuration(workspace).workspace) as library:
        found = library.documents.all()
        languages = {document.id: document_language(library.documents, document) for document in found}
    if json:
        print_json([{**document.model_dump(mode="json"), "language": languages[document.id]} for document in found])
        return
    if not found:
        notes().print("No documents yet; add one with: rereader add FILE", markup=False)
        return
    table = Table("id", "title", "characters", "language", "source", box=None, padding=(0, 2, 0, 0))
    for document in found:
        language = languages[document.id]
        table.add_row(
            document.id[:12],
            Text(document.title),
            f"{document.length:,}",
            NAMES.get(language, language),
            Text(document.source),
        )
    output().print(table)


def remove(
    document: Annotated[
        str,
        typer.Argument(
            help="Id (or its first characters) or title of a document.", autocompletion=completion.document_titles
        ),
    ],
    workspace: options.Workspace = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: options.Json = False,
) -> None:
    """Delete a document with all its memories, runs and cached replies; only a tombstone stays.

    For example:

    rereader remove 3f2a9c --yes
    """
    with Library(options.configuration(workspace).workspace) as library:
        found = library.documents.get(document)
        if not yes and not agreed(f"Remove {found.title!r} and every run on it?", "Nothing was removed."):
            notes().print("Nothing was removed.", markup=False)
            return
        runs = library.remove(found.id)
    if json:
        print_json({"removed": found.model_dump(mode="json"), "runs": runs})
        return
    output().print(f"Removed {found.title} and {plural(runs, 'run')}.", markup=False)
