"""The command ``rereader bench memory``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Annotated

import typer

from rereader.config import load_config
from rereader.evals.arguments import listed, split_named
from rereader.evals.data import data_folder
from rereader.evals.rows import results_path
from rereader.models.roles import bind_scorer
from rereader.models.white_box import white_box
from rereader.schema import InputError

Progress = Callable[[], AbstractContextManager[Callable[[int, int], None]]]


def add_memory(bench_app: typer.Typer, progress: Progress) -> None:
    """Put the command among those of ``rereader bench``; ``progress`` shows rows done and in all."""

    @bench_app.command("memory")
    def memory(
        model: Annotated[str, typer.Option(help="The model that reads.")] = "smollm2-135m",
        split: Annotated[str, typer.Option(help="dev or test.")] = "dev",
        scorers: Annotated[
            str | None, typer.Option(help="What compresses: a,b,c; the first is measured in every way.")
        ] = None,
        ratios: Annotated[
            str | None, typer.Option(help="Tokens for each that is kept: 4,2,8; scorers are compared at the first.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Decides the other paragraphs and the order.")] = 0,
        limit: Annotated[int | None, typer.Option(min=1, help="Questions; the last text is asked to its end.")] = None,
        max_seconds: Annotated[float | None, typer.Option(min=0, help="Begin no text after this time.")] = None,
        answers: Annotated[bool, typer.Option(help="Write replies; else only likelihoods are measured.")] = True,
        blocks: Annotated[
            Path | None, typer.Option(help="Folder of the blocks; one in the models folder by default.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Results; docs/results/memory-squad-MODEL.jsonl in a checkout by default.")
        ] = None,
        models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
    ) -> None:
        """Measure what a model still finds in compressed paragraphs; rows that are there are skipped.

        For example:

            rereader bench memory --limit 20 --scorers key-norm,random --ratios 4

            rereader bench memory --split test --max-seconds 3600
        """
        from rereader.evals.memory_bench import MemoryBench, measure_memory
        from rereader.evals.memory_systems import ALL_SCORERS, RATIOS
        from rereader.models.headlist import heads_in_use

        bench = MemoryBench(
            split_named(split),
            tuple(listed(scorers)) if scorers else ALL_SCORERS,
            tuple(map(_ratio, listed(ratios))) if ratios else RATIOS,
            seed,
            limit,
            max_seconds,
            answers,
        )
        path = results_path(out, f"memory-squad-{Path(model).name}")
        folder = load_config(models_dir=models_dir).models_dir
        heads, _ = heads_in_use(model, folder)
        kept = blocks or folder / ".blocks"
        with closing(bind_scorer(model, folder)) as models, progress() as told:
            written = measure_memory(bench, white_box(models), heads, data_folder(), kept, path, told)
        typer.echo(f"{path}: {written} rows written.")


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not ratio >= 1:
        raise InputError(f"{text!r} is no ratio.", "Write numbers of at least 1: 4,2,8")
    return ratio
