"""The command ``rereader bench``: run a suite, make tables from its rows, list the suites."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from rereader.config import load_config
from rereader.evals.arguments import listed, split_named
from rereader.evals.attacks_cli import add_attacks
from rereader.evals.counters import with_tokenizer
from rereader.evals.data import data_folder, data_folder_if_set
from rereader.evals.environment import describe_commit
from rereader.evals.forgetting_cli import add_forgetting
from rereader.evals.gates_cli import add_gates
from rereader.evals.harness import Outcome, Session, SessionFactory, run_bench
from rereader.evals.items import Split, load_benchmark
from rereader.evals.marked import marked_items
from rereader.evals.memory_cli import add_memory
from rereader.evals.report_cli import add_reports
from rereader.evals.rows import results_path
from rereader.evals.suite import load_suite, suite_names
from rereader.models.base import Head
from rereader.models.headlist import heads_in_use, read_heads
from rereader.models.providers import endpoint_name
from rereader.models.roles import bind_scorer
from rereader.models.white_box import white_box
from rereader.schema import InputError, Interrupted, Progress
from rereader.schema.events import Listener

_COUNTED = ("bench", "items")
"""Stages that the bar itself counts."""
bench_app = typer.Typer(name="bench", no_args_is_help=True, help="Measure graphs on benchmarks and make the tables.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@bench_app.command("run")
def run_suite(
    suite: Annotated[str, typer.Argument(help="Name of a suite (`rereader bench list`) or path of a .toml file.")],
    split: Annotated[str | None, typer.Option(help="dev or test; the suite's own by default.")] = None,
    systems: Annotated[str | None, typer.Option(help="Only these systems, by name: a,b,c.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds in place of the suite's: 0,1,2.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most items.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0, help="Begin no item after this time.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Results; docs/results/SUITE-SPLIT.jsonl in a checkout by default.")
    ] = None,
    workspace: Annotated[Path | None, typer.Option(help="Keep the workspace here, so texts are read once.")] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
    model: Annotated[str | None, typer.Option(help="The reader.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of the server of --model.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable with that server's key.")] = None,
    evidence_only: Annotated[bool, typer.Option(help="Measure evidence; call no reader.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a suite and append one row for each item and system; rows that are there already are skipped.

    All systems answer an item before the next one begins. Stop it at any time and start it again.

    For example:

        rereader bench run needles --evidence-only --limit 10

        rereader bench run needles --split test --seeds 0,1,2,3,4,5 --max-seconds 3600

        rereader bench run books --systems bm25,retrieval --workspace bench-workspace
    """
    loaded = load_suite(suite)
    chosen = loaded.chosen(listed(systems) if systems is not None else None)
    part = loaded.split if split is None else split_named(split)
    console, path = Console(stderr=True), results_path(out, f"{loaded.name}-{part}")
    served = _served(model, base_url, api_key_env)
    options = with_tokenizer(loaded.options, served, models_dir)
    benchmark = load_benchmark(loaded.benchmark, data_folder_if_set(), options)
    _warn_of_changes(part, console)
    with _resumable(path), _progress_bar(console) as listener:
        outcome = run_bench(
            benchmark,
            chosen,
            split=part,
            seeds=loaded.seeds if seeds is None else _seeds(seeds),
            out=path,
            session_factory=_session_factory(served, models_dir, not evidence_only, listener),
            workspace=workspace,
            reader=not evidence_only,
            budget=loaded.budget,
            limit=limit,
            max_seconds=max_seconds,
            progress=listener,
        )
    typer.echo(json.dumps(_as_plain(outcome)) if as_json else _as_text(outcome))


@bench_app.command("sentences")
def sentences(
    source: Annotated[str, typer.Argument(help="hotpotqa, 2wikimultihopqa, musique or needles.")],
    model: Annotated[str, typer.Option(help="The model whose attention is read.")] = "smollm2-135m",
    heads: Annotated[
        list[str] | None, typer.Option(help="A list of heads, NAME=FILE; the one in use by default.")
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="Most items.")] = 100,
    out: Annotated[
        Path | None, typer.Option(help="Results; docs/results/sentences-SET-MODEL.jsonl in a checkout by default.")
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
) -> None:
    """Rank the sentences of short texts by attention heads, MiniLM and BM25, and append the recall of each ranking.

    For example:

        rereader bench sentences hotpotqa

        rereader bench sentences needles --model qwen2.5-coder-0.5b --items 50
    """
    from rereader.evals.sentences import measure_sentences

    path = results_path(out, f"sentences-{source}-{Path(model).name}")
    chosen = marked_items(source, data_folder(), "test")[:items]
    folder = load_config(models_dir=models_dir).models_dir
    lists = _head_lists(heads or ()) or {"in use": heads_in_use(model, folder)[0]}
    with closing(bind_scorer(model, folder)) as models, _progress_bar(Console(stderr=True)) as listener:
        scorer, told = white_box(models), partial(_told, listener)
        written = measure_sentences(scorer, models.embedder, source, chosen, lists, path, told)
    typer.echo(f"{path}: {written} rows written.")


@bench_app.command("attention")
def attention_costs(
    lengths: Annotated[list[int] | None, typer.Option("--tokens", min=64, help="Tokens of a text to measure.")] = None,
    model: Annotated[str, typer.Option(help="The model that looks and answers.")] = "smollm2-135m",
    repeats: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 2,
    published: Annotated[bool, typer.Option(help="Also time the published procedure.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Results; docs/results/replay-costs-MODEL.jsonl in a checkout by default.")
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
) -> None:
    """Time evidence replay, cold and warm, against reading the text once, and against the published procedure.

    For example:

        rereader bench attention --tokens 4096 --tokens 8192

        rereader bench attention --model qwen2.5-coder-0.5b --tokens 16384 --no-published
    """
    from rereader.evals.replay_costs import replay_costs

    path = results_path(out, f"replay-costs-{Path(model).name}")
    folder = load_config(models_dir=models_dir).models_dir
    with closing(bind_scorer(model, folder)) as models, _progress_bar(Console(stderr=True)) as listener:
        told = partial(_told, listener)
        chosen = tuple(lengths or (4096, 8192))
        written = replay_costs(white_box(models), chosen, path, repeats=repeats, published=published, told=told)
    typer.echo(f"{path}: {written} rows written.")


@bench_app.command("masking")
def masking(
    model: Annotated[str, typer.Option(help="The model.")] = "smollm2-135m",
    heads: Annotated[Path | None, typer.Option(help="A list of heads; the one in use by default.")] = None,
    facts: Annotated[int, typer.Option(min=1, help="Facts to plant, each at six places.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Results; docs/results/masking-MODEL.jsonl in a checkout by default.")
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
) -> None:
    """Measure how much of planted facts a model still finds with its retrieval heads masked, or as many random ones.

    For example:

        rereader bench masking --facts 20
    """
    from rereader.evals.masking import measure_masking
    from rereader.models.local import LocalModel

    path = results_path(out, f"masking-{Path(model).name}")
    folder = load_config(models_dir=models_dir).models_dir
    chosen = read_heads(heads) if heads else heads_in_use(model, folder)[0]
    with closing(bind_scorer(model, folder)) as models, _progress_bar(Console(stderr=True)) as listener:
        scorer = white_box(models)
        if not isinstance(scorer, LocalModel):
            raise InputError(f"{model} does not run in this process.", "Name a local model that transformers runs.")
        written = measure_masking(scorer, chosen, data_folder(), facts, path, partial(_told, listener))
    typer.echo(f"{path}: {written} rows written.")


@bench_app.command("list")
def list_suites(as_json: AsJson = False) -> None:
    """List the suites and their systems.

    For example:

        rereader bench list --json
    """
    suites = [load_suite(name) for name in suite_names()]
    if as_json:
        typer.echo(json.dumps([suite.model_dump(mode="json") for suite in suites]))
        return
    for suite in suites:
        typer.echo(f"{suite.name}: {suite.about}\n  {', '.join(system.name for system in suite.systems)}")


def _served(model: str | None, base_url: str | None, api_key_env: str | None) -> str | None:
    if base_url is None and api_key_env is None:
        return model
    if model is None:
        raise InputError("--base-url names a server but no model.", "Name the model: --model openai:MODEL.")
    return endpoint_name(model, base_url, api_key_env)


def _session_factory(model: str | None, models_dir: Path | None, reader: bool, told: Listener) -> SessionFactory:
    def opened(workspace: Path) -> AbstractContextManager[Session]:
        from rereader.evals.opening import open_measured  # loads the whole application

        return open_measured(workspace, model=model, models_dir=models_dir, reader=reader, told=told)

    return opened


def _head_lists(pairs: Sequence[str]) -> dict[str, list[Head]]:
    if wrong := next((pair for pair in pairs if "=" not in pair), None):
        raise InputError(f"{wrong!r} names no list of heads.", "Write --heads NAME=FILE.")
    return {name: read_heads(Path(file)) for name, _, file in (pair.partition("=") for pair in pairs)}


def _told(listener: Listener, done: int, total: int) -> None:
    listener(Progress("items", done, total))


@contextmanager
def _progress_bar(console: Console) -> Iterator[Listener]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with ProgressBar(*columns, console=console) as bar:
        task = bar.add_task("bench", total=None)

        def told(progress: Progress) -> None:
            if progress.stage in _COUNTED:
                bar.update(task, description="bench", completed=progress.done, total=progress.total)
            else:  # a text is read in, which may take longer than all questions on it
                bar.update(task, description=_reading(progress))

        yield told


@contextmanager
def _resumable(path: Path) -> Iterator[None]:
    """Say on Ctrl-C where the rows are; the command line's own handling says nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"Stopped; {path} keeps the rows so far.", "The same command goes on from there.") from error


def _reading(progress: Progress) -> str:
    """How far one stage of reading a text in has come, and how long it will go on."""
    left = progress.eta_seconds
    ending = "" if left is None else f", {timedelta(seconds=round(left))} left"
    return f"{progress.stage} {progress.done:,} of {progress.total:,}{ending}"


@contextmanager
def _items_bar() -> Iterator[Callable[[int, int], None]]:
    with _progress_bar(Console(stderr=True)) as listener:
        yield partial(_told, listener)


add_attacks(bench_app, _items_bar)
add_forgetting(bench_app)
add_gates(bench_app, _items_bar)
add_memory(bench_app, _items_bar)
add_reports(bench_app, _items_bar)


def _warn_of_changes(split: Split, console: Console) -> None:
    """A test run is worth little when split and settings were not committed before it."""
    if split == "test" and describe_commit(Path(__file__).parent)["dirty"]:
        console.print("There are uncommitted changes: the rows of this test run will say so.", style="yellow")


def _as_plain(outcome: Outcome) -> dict[str, str | int]:
    return {**vars(outcome), "path": str(outcome.path)}


def _as_text(outcome: Outcome) -> str:
    text = f"{outcome.path}: {outcome.written} rows written, {outcome.skipped} were there before"
    failed = f", {outcome.failed} calls failed" if outcome.failed else ""
    missing = f"; {outcome.missing} still to do, run it again to go on" if outcome.missing else ""
    older = f" {outcome.older} rows of other settings, data or models stay in the file; reports take the newest."
    return f"{text}{failed}{missing}.{older if outcome.older else ''}"


def _seeds(text: str) -> tuple[int, ...]:
    if not all(name.isdecimal() for name in listed(text)) or not listed(text):
        raise InputError(f"Seeds are whole numbers: {text!r} is not.", "Write them as 0,1,2.")
    return tuple(int(name) for name in listed(text))
