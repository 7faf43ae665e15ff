"""The command ``rereader bench forgetting``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rereader.evals.rows import read_rows

if TYPE_CHECKING:
    from rereader.runs.blame import Course

_LATER = (1, 2, 4, 8, 16, 32, 64)
"""Steps after a fact was first known, as columns of the table."""


def add_forgetting(bench_app: typer.Typer) -> None:
    """Put the command among those of ``rereader bench``."""

    @bench_app.command("forgetting")
    def forgetting(
        files: Annotated[list[Path], typer.Argument(help="Results files of `bench run`.")],
        workspace: Annotated[Path, typer.Option(help="The workspace that `bench run --workspace` kept.")],
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    ) -> None:
        """Say of each system how many right answers it came to know, and how long it kept them.

        An answer is known at a step if its words stand in the working memory, or a quote covers the place where the
        benchmark has it. The curve is over facts that were known once.

        For example:

            rereader bench run needles_together --workspace kept --out rows.jsonl

            rereader bench forgetting rows.jsonl --workspace kept
        """
        from rereader.evals.forgetting import courses_of
        from rereader.memory.library import Library

        rows = [row for path in files for row in read_rows(path)]
        with Library(workspace) as library:
            figures = [_figures(system, courses) for system, courses in courses_of(library, rows).items()]
        typer.echo(json.dumps(figures) if as_json else _table(figures))


def _figures(system: str, courses: Sequence[Course]) -> dict[str, Any]:
    from rereader.runs.blame import survival

    return {
        "system": system,
        "facts": len(courses),
        "known_once": sum(one.first is not None for one in courses),
        "known_at_end": sum(one.known_at_end for one in courses),
        "survival": [round(share, 4) for share in survival(courses)],
    }


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Markdown; a share is empty where no run went on for so long."""
    columns = ["system", "facts", "known once", "known at the end", *(f"after {steps}" for steps in _LATER)]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in figures:
        curve = row["survival"]
        shares = [f"{curve[steps]:.2f}" if steps < len(curve) else "" for steps in _LATER]
        cells = [row["system"], row["facts"], row["known_once"], row["known_at_end"], *shares]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
