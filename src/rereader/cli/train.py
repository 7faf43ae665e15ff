"""``rereader train``: trains the small parts that let memories in and that make them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from rereader.cli import options, train_compressor
from rereader.cli.console import interruptible, output, print_json
from rereader.cli.progress import listener
from rereader.config import load_config
from rereader.models.base import Cancel
from rereader.models.roles import EXTRACTIVE, NONE, RoleNames, default_names
from rereader.schema import Event, Progress

app = typer.Typer(help="Train what lets memories in (gate), and what makes them (compressor).", no_args_is_help=True)
app.command("compressor")(train_compressor.compressor)
app.command("joint")(train_compressor.joint)
Told = Callable[[str, int, int], None]
_SOURCES = "hotpotqa,2wikimultihopqa,musique"


@app.command("gate")
def gate(
    out: Annotated[
        Path | None,
        typer.Option(help="File of the trained gate; with --lora a folder.", show_default="gate-EMBEDDER.safetensors"),
    ] = None,
    sources: Annotated[str, typer.Option(help="Sets of questions, with commas between them.")] = _SOURCES,
    questions: Annotated[int | None, typer.Option(min=1, help="Most questions.", show_default="all")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Texts that every question is put to.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything that is drawn.")] = 0,
    embedder: Annotated[str | None, typer.Option(help="The embedder whose vectors it decides by.")] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters with which the scorer reads memories.")] = False,
    scorer: Annotated[str, typer.Option(help="The scorer that --lora adapts.")] = "smollm2-135m",
    steps: Annotated[int, typer.Option(min=1, help="Steps of --lora.")] = 300,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a gate on multi-hop questions whose facts are marked, of the half that no test measurement uses.

    It needs the benchmark data (REREADER_DATA). Precision and recall at a range of thresholds are written beside the
    gate. Ctrl-C stops it, and then nothing is written.

    For example:

    rereader train gate --out gate.safetensors

    rereader train gate --lora --out gate-lora --steps 300

    rereader ask book.txt 'Who keeps the bees?' --set gate=trained --set trained_gate=gate.safetensors
    """
    folder = load_config(models_dir=models_dir).models_dir
    names = RoleNames(EXTRACTIVE, NONE, NONE, embedder or default_names(folder)[0].embedder)
    place = out or Path("gate-lora" if lora else f"gate-{Path(names.embedder).name}.safetensors")
    plan = {"sources": tuple(filter(None, sources.split(","))), "questions": questions, "rounds": rounds, "seed": seed}
    adapters = {"scorer": (scorer, folder), "steps": steps} if lora else None
    with interruptible() as cancel, listener(quiet=quiet) as listen:
        found = _train(plan, names, folder, adapters, place, _teller(listen), cancel)
    if json:
        print_json({"out": str(place), **found})
    else:
        output().print(_told(place, found), markup=False)


def _train(
    plan: Mapping[str, Any],
    names: RoleNames,
    models_dir: Path,
    adapters: Mapping[str, Any] | None,
    out: Path,
    told: Told,
    cancel: Cancel,
) -> dict[str, Any]:
    """Open the models on an empty workspace and train; imports what is heavy."""
    from rereader.evals.data import data_folder
    from rereader.runs.session import open_session
    from rereader.training.gate import GatePlan, check_out, train_gate_head, train_gate_lora

    check_out(out, folder=adapters is not None)
    chosen = GatePlan(data_folder(), **plan)
    with ExitStack() as stack:
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rereader-train-")))
        session = stack.enter_context(open_session(workspace, names=names, models_dir=models_dir))
        if adapters is None:
            return train_gate_head(chosen, session, out, told, cancel)
        return train_gate_lora(chosen, session, adapters["scorer"], out, told, cancel, steps=adapters["steps"])


def _teller(listen: Callable[[Event], None]) -> Told:
    """Progress with the time left, stage by stage."""
    began: dict[str, float] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in began:
            began[stage] = time.monotonic()
            listen(Event("step", "", 0, node=stage))
        report = Progress(stage, done, total, 0, time.monotonic() - began[stage])
        listen(Event("progress", "", 0, progress=report))

    return tell


def _told(place: Path, found: Mapping[str, Any]) -> str:
    """What came of it, in a few lines."""
    lines = [f"{place}: trained on {found['questions']:,} questions, {found['memories']:,} memories scored unseen."]
    for name, values in found["metrics"].items():
        passed = ", ".join(f"{at['recall']:.2f} at {at['pass_rate']:.3f}" for at in values["at"].values())
        lines.append(f"{name}: AUROC {values['auroc']:.3f}; recall at share that passes: {passed}")
    return "\n".join([*lines, f"Curve: {found['curve_file']}"])
