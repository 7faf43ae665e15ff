"""The command ``rereader bench attacks``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rereader.evals.arguments import listed
from rereader.schema import InputError

if TYPE_CHECKING:
    from rereader.evals.attacking import Trials
    from rereader.evals.attacks import Attack

Progress = Callable[[], AbstractContextManager[Callable[[int, int], None]]]
_OBEYING = "obeying"
BROKEN = 1
"""Exit code where a wall gave way."""


def add_attacks(bench_app: typer.Typer, progress: Progress) -> None:
    """Put the command among those of ``rereader bench``; ``progress`` shows rows done and in all."""

    @bench_app.command("attacks")
    def attacks(
        model: Annotated[
            str, typer.Option(help=f"The reader; {_OBEYING!r} is a scripted one that does all that attacks say.")
        ] = _OBEYING,
        systems: Annotated[str | None, typer.Option(help="Only these systems, by name: a,b,c.")] = None,
        kinds: Annotated[str | None, typer.Option(help="Only attacks of these kinds: a,b,c.")] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Most attacks.")] = None,
        max_seconds: Annotated[float | None, typer.Option(min=0, help="Begin no attack after this time.")] = None,
        out: Annotated[
            Path | None, typer.Option(help="Results; docs/results/attacks-MODEL.jsonl in a checkout by default.")
        ] = None,
        models_dir: Annotated[Path | None, typer.Option(help="Folder of the pulled models.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
    ) -> None:
        """Plant attacks in a text, one by one, ask every graph, and say how often each kind got its way.

        A breach is a wall that gave way: a false quote, a foreign document, a file touched, words of the document
        taken for ours, a run that failed. The command exits with 1 if there is any. Rows that are there are skipped.

        For example:

            rereader bench attacks --out attacks.jsonl

            rereader bench attacks --model qwen2.5-coder-0.5b --systems retrieval,ledger --max-seconds 3600
        """
        from rereader.evals.attacking import CONTROL, measure_attacks, table
        from rereader.evals.attacks import load_attacks
        from rereader.evals.rows import read_rows, results, results_path

        suite = load_attacks()
        chosen = suite.of_kinds(listed(kinds))[:limit]
        asked = suite.systems(listed(systems))
        path = results_path(out, f"attacks-{Path(model).name}")
        with _trials(model, models_dir, chosen) as trials, progress() as told:
            written = measure_attacks(trials, chosen, asked, path, max_seconds=max_seconds, told=told)
        items, names = {CONTROL, *(attack.id for attack in chosen)}, {system.name for system in asked}
        found = results(read_rows(path)) if path.exists() else []
        rows = [row for row in found if row["item"] in items and row["system"] in names]
        typer.echo(json.dumps(rows) if as_json else f"{path}: {written} rows written.\n\n{table(rows)}")
        if any(row["breaches"] for row in rows):
            raise typer.Exit(BROKEN)


@contextmanager
def _trials(model: str, models_dir: Path | None, attacks: list[Attack]) -> Iterator[Trials]:
    """A session in a workspace that is thrown away, and files beside it that no run may touch."""
    from rereader.config import load_config
    from rereader.evals.attacking import Trials
    from rereader.evals.attacks import lay_out, load_attacks, obeying, obeying_models
    from rereader.memory.library import Library
    from rereader.models.roles import default_names
    from rereader.models.tokens import estimate_counter
    from rereader.runs.session import Session, open_session

    if not model.strip():
        raise InputError("The name of the model is empty.", f"Name a pulled model, or {_OBEYING!r}.")
    with tempfile.TemporaryDirectory(prefix="rereader-attacks-") as folder:
        workspace, grounds = Path(folder) / "workspace", lay_out(Path(folder) / "grounds", load_attacks())
        if model == _OBEYING:
            models = obeying_models(obeying(load_attacks(), attacks, grounds))
            with closing(Session(Library(workspace), models, estimate_counter())) as session:
                yield Trials(session, load_attacks(), grounds)
            return
        models_folder = load_config(models_dir=models_dir).models_dir
        names = replace(default_names(models_folder)[0], reader=model)
        with open_session(workspace, names=names, models_dir=models_folder) as session:
            yield Trials(session, load_attacks(), grounds)
