"""``rereader fork``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rereader.cli import completion, options
from rereader.cli.ask import EXIT_CODES
from rereader.cli.console import interruptible, notes, print_json
from rereader.cli.progress import listener
from rereader.cli.report import make_report
from rereader.cli.showing import check_forms, found_shown, show_report, write_page
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.models.roles import RoleNames
from rereader.runs.choosing import fork_names
from rereader.schema import InputError
from rereader.schema.wording import counted

_SHORT = 60
_HEAD = """The working memory of run {run} after step {step}.
Change a text, take an entry out to drop it, add one, or say pin = true; then:
  rereader fork {run} --step {step} --edit FILE
A new entry has a text (a note) or a span = "DOCUMENT:START-END" (a quote) and no record."""


def fork(
    run_id: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Id of a run, or its first characters.", autocompletion=completion.run_ids),
    ],
    step: Annotated[int, typer.Option("--step", help="The last step that is taken over; 0 begins anew.")],
    edit: Annotated[
        str | None, typer.Option("--edit", metavar="FILE", help="Edits of the working memory, TOML or JSON; '-' reads.")
    ] = None,
    question: Annotated[str | None, typer.Option("--question", help="Another question, from there on.")] = None,
    settings: options.Set = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key_env: options.ApiKeyEnv = None,
    role: options.Role = None,
    runtime: Annotated[
        str, typer.Option(help="What runs the models that are named anew; see 'rereader ask --help'.")
    ] = "transformers",
    max_tokens: options.MaxTokens = None,
    max_calls: options.MaxCalls = None,
    max_seconds: options.MaxSeconds = None,
    print_memory: Annotated[
        bool, typer.Option("--print-memory", help="Only print the working memory at the step, as --edit takes it.")
    ] = False,
    workspace: options.Workspace = None,
    json: options.Json = False,
    markdown: options.Markdown = False,
    html: options.Html = None,
    quiet: options.Quiet = False,
) -> int:
    """Go on from a step of a run as a new run, with another memory, question, setting or model; the run itself stays.

    What was done up to the step is taken over, and what does not depend on the changes is not computed again. A file of
    edits holds the memory as it is to be ([[memory]] entries, as --print-memory prints them), or single edits:

    drop = ["3f2a9c"]; pin = ["77d0e1"]; unpin = []

    [[edit]] with record = "3f2a9c" and text = "another text", or span = "DOCUMENT:START-END" for a quote

    [[add]] with text = "a note", or span = "DOCUMENT:START-END" for a quote; pin = true keeps it to the end

    For example:

    rereader fork 3f2a --step 4 --print-memory > memory.toml

    rereader fork 3f2a --step 4 --edit memory.toml

    rereader fork 3f2a --step 4 --question "And who sold it?" --set evidence_words=500

    echo '{"drop": ["9b1c"]}' | rereader fork 3f2a --step 6 --edit -
    """
    check_forms(json=json, markdown=markdown, html=html)
    config = options.configuration(workspace)
    if print_memory:
        _print_memory(config.workspace, run_id, step, json=json)
        return 0
    from rereader.runs.edits import read_edits
    from rereader.runs.forking import check_edits, compare_with_parent, fork_budget, memory_at
    from rereader.runs.session import open_session

    limits = options.make_budget(max_tokens, max_calls, max_seconds)
    with Library(config.workspace) as library:
        held = memory_at(library, run_id, step)
        parent = library.runs.get(run_id)
        cut_by = library.runs.cut_by(parent) if step else None
        edits = read_edits(_read(edit), held) if edit else []
        check_edits(library, parent.id, step, edits)
    reader = options.reader_name(config, model, base_url, api_key_env)
    named = options.pairs(role or [], "--role")
    names = fork_names(parent, {**named, "reader": reader} if reader else named)
    with (
        interruptible() as cancel,
        open_session(
            config.workspace,
            names=names,
            models_dir=config.models_dir,
            runtime=runtime,
            counted_by=RoleNames(**cut_by) if cut_by else None,
        ) as session,
        found_shown(session.library, json=json, markdown=markdown, html=html),
        listener(quiet=quiet) as listen,
    ):
        answer = session.fork(
            parent.id,
            step,
            edits=edits,
            question=question,
            settings=options.pairs(settings or [], "--set"),
            budget=fork_budget(parent, limits),
            listen=listen,
            cancel=cancel,
        )
        run = session.library.runs.get(answer.run_id)
        compared = compare_with_parent(session.library, run)
        report = make_report(session.library, run, session.library.runs.steps(run.id))
    if json:
        print_json({**answer.model_dump(mode="json"), "fork": compared.as_json()})
    else:
        show_report(report, steps=False, json=False, markdown=markdown)
        notes().print(f"note: {_line(run, compared)}", markup=False)
    write_page(report, html)
    return EXIT_CODES[answer.status]


def _print_memory(workspace: Path, run_id: str, step: int, *, json: bool) -> None:
    from rereader.runs.edits import memory_fields, memory_text
    from rereader.runs.forking import memory_at

    with Library(workspace) as library:
        held = memory_at(library, run_id, step)
        run = library.runs.get(run_id)
    if json:
        print_json({"memory": memory_fields(held)})
    else:
        sys.stdout.write(memory_text(held, _HEAD.format(run=run.id, step=step)))


def _read(edit: str) -> str:
    """The text of the file of edits.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        raw = sys.stdin.buffer.read() if edit == "-" else Path(edit).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{edit} is not UTF-8.", "Save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        hint = "Write one with: rereader fork RUN --step K --print-memory > FILE"
        raise InputError(f"Cannot read {edit}: {getattr(error, 'strerror', None) or error}.", hint) from error


def _line(run: Run, compared: Any) -> str:
    """The fork beside its parent in one line."""
    made = compared.calls - compared.cached_calls
    cost = f"{counted(compared.calls, 'model call')} after it, {made:,} of them made anew"
    told = f"{run.id} is a fork of {compared.parent} at step {compared.step} ({cost})"
    if compared.same is None:
        told += "; its parent has no answer."
    elif compared.same:
        told += ": the same answer."
    else:
        before = " ".join(compared.before.answer.split())
        told += f": another answer; before: {before[:_SHORT]!r} ({compared.before.status.replace('_', ' ')})."
    if compared.unseen:
        told += f" No model was shown and no quote came from what you wrote in {', '.join(compared.unseen)}."
    return told
