"""The command ``rereader bench gates``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from rereader.config import load_config
from rereader.evals.arguments import listed
from rereader.evals.data import data_folder
from rereader.evals.rows import results_path
from rereader.models.roles import EXTRACTIVE, NONE, RoleNames, default_names
from rereader.schema import InputError

Progress = Callable[[], AbstractContextManager[Callable[[int, int], None]]]


def add_gates(bench_app: typer.Typer, progress: Progress) -> None:
    """Put the command among those of ``rereader bench``; ``progress`` shows questions done and in all."""

    @bench_app.command("gates")
    def gates(
        source: Annotated[str, typer.Argument(help="hotpotqa or 2wikimultihopqa.")],
        documents: Annotated[int, typer.Option(min=1, help="Documents of a text.")] = 50,
        gate: Annotated[str, typer.Option("--gates", help="Gates, with commas between them.")] = (
            "bm25,similarity,fused,trained"
        ),
        items: Annotated[int, typer.Option(min=1, help="Most questions.")] = 200,
        questions: Annotated[int, typer.Option(min=1, help="Questions of a text.")] = 20,
        setting: Annotated[
            list[str] | None, typer.Option("--set", "-s", help="A setting of compressed-memory: NAME=VALUE.")
        ] = None,
        scorer: Annotated[
            str, typer.Option(help="The model of choose, likelihood, attention and lora.")
        ] = "smollm2-135m",
        judged: Annotated[
            int | None,
            typer.Option(min=2, help="Chunks that it judges, those recalled best, as in a run.", show_default="all"),
        ] = None,
        lora: Annotated[
            Path | None, typer.Option(help="Folder of adapters ('train gate --lora') that the gate lora is.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Results; docs/results/gates-SET-DOCUMENTS.jsonl in a checkout by default.")
        ] = None,
        models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
    ) -> None:
        """Measure what gates let through, on questions that none was trained on; rows that are there are skipped.

        For example:

            rereader bench gates hotpotqa --documents 200

            rereader bench gates hotpotqa --gates choose,attention --judged 16
        """
        from rereader.evals.gate_scores import CHEAP
        from rereader.evals.gates import GateBench, measure_gates

        names = tuple(listed(gate))
        bench = GateBench(source, documents, names, items, questions, _settings(setting or []), judged, lora)
        path = results_path(out, bench.name)
        opened = partial(_session, models_dir, scorer if set(names) - set(CHEAP) else NONE)
        with progress() as told:
            written = measure_gates(bench, data_folder(), opened, path, told)
        typer.echo(f"{path}: {written} rows written.")


def _settings(pairs: list[str]) -> dict[str, Any]:
    if wrong := next((pair for pair in pairs if "=" not in pair), None):
        raise InputError(f"--set {wrong!r} is not NAME=VALUE.", "For instance: --set chunk_tokens=256")
    return {name.replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in pairs)}


def _session(models_dir: Path | None, scorer: str, workspace: Path) -> AbstractContextManager[Any]:
    from rereader.runs.session import open_session

    embedder = default_names(load_config(models_dir=models_dir).models_dir)[0].embedder
    names = RoleNames(EXTRACTIVE, NONE, scorer, embedder)
    return open_session(workspace, names=names, models_dir=models_dir, runtime="transformers")
