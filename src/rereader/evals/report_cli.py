"""The commands ``rereader bench report``, ``verify`` and ``scaling``."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from rereader.evals.arguments import listed
from rereader.evals.manifest import DEFAULT, load_manifest
from rereader.evals.markdown_blocks import update_file
from rereader.schema import InputError

Bar = Callable[[], AbstractContextManager[Callable[[int, int], None]]]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ManifestOption = Annotated[Path, typer.Option("--manifest", help="Which block and picture comes from which rows.")]


def add_reports(bench_app: typer.Typer, bar: Bar) -> None:
    """Put the commands among those of ``rereader bench``."""

    @bench_app.command("report")
    def report(
        files: Annotated[list[Path] | None, typer.Argument(help="Results files; all of the docs without any.")] = None,
        into: Annotated[Path | None, typer.Option(help="Markdown file whose block is replaced.")] = None,
        marker: Annotated[str | None, typer.Option(help="Name of the block.")] = None,
        baseline: Annotated[str, typer.Option(help="System that the others are compared with.")] = "bm25",
        systems: Annotated[str | None, typer.Option(help="Only these systems, by name: a,b,c.")] = None,
        brief: Annotated[bool, typer.Option("--brief", help="The main scores by kind only.")] = False,
        manifest: ManifestOption = DEFAULT,
        as_json: AsJson = False,
    ) -> None:
        """Make Markdown tables from raw rows; without files, every table and picture of the README and the docs.

        For example:

            rereader bench report

            rereader bench report docs/results/needles-test.jsonl

            rereader bench report docs/results/needles-test.jsonl --into README.md --marker needles
        """
        if not files:
            if into or marker or systems or brief:
                raise InputError("Options of a table, but no results file.", "Name one, or none of these options.")
            _all(manifest, bar, as_json)
            return
        if (into is None) != (marker is None):
            raise InputError("--into and --marker belong together.", "Give both, or neither to print the tables.")
        chosen = listed(systems)
        from rereader.evals.report import render  # numpy, which the help of all commands does without

        table = render(files, baseline, brief=brief, systems=chosen)
        if into is not None and marker is not None:
            update_file(into, marker, table)
            typer.echo(json.dumps({"updated": str(into), "marker": marker}) if as_json else f"Updated {into}.")
        else:
            typer.echo(json.dumps({"markdown": table}) if as_json else table)

    _add_verify(bench_app, bar)
    _add_scaling(bench_app)


def _add_verify(bench_app: typer.Typer, bar: Bar) -> None:
    @bench_app.command("verify")
    def verify(manifest: ManifestOption = DEFAULT, as_json: AsJson = False) -> None:
        """Say which numbers, tables and pictures of the README and the docs have no raw row behind them.

        Exit code 1 if there is any. How a number in prose says where it comes from stands in docs/report.md.

        For example:

            rereader bench verify
        """
        from rereader.evals.verifying import faults

        loaded = load_manifest(manifest)
        with bar() as told:
            found = faults(loaded, told)
        if as_json:
            typer.echo(json.dumps({"faults": found}))
        else:
            typer.echo("\n".join([*found, f"{len(found)} without rows." if found else "Every number has its rows."]))
        if found:
            raise typer.Exit(1)


def _add_scaling(bench_app: typer.Typer) -> None:
    @bench_app.command("scaling")
    def scaling(
        files: Annotated[list[Path], typer.Argument(help="Rows of scripts/measure_graphs.")],
        plot: Annotated[Path | None, typer.Option(help="Draw costs by length into this PNG file.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Say how the costs of each graph grow with the text: the exponent of a power law, with its 95% interval.

        1 means twice the cost for twice the text, 0 the same cost. Texts below 10 thousand tokens are left out.

        For example:

            rereader bench scaling docs/results/graphs.jsonl --plot costs.png
        """
        from rereader.evals.expressions import plain_rows
        from rereader.evals.graph_costs import cost_panels, scaling_lines
        from rereader.evals.panels import draw

        if gone := next((path for path in files if not path.is_file()), None):
            raise InputError(f"There is no file {gone}.", "scripts/measure_graphs --out FILE writes one.")
        table = scaling_lines([row for path in files for row in plain_rows(path)])
        if plot is not None:
            draw(cost_panels(files), plot)
        typer.echo(json.dumps({"markdown": table}) if as_json else table)


def _all(path: Path, bar: Bar, as_json: bool) -> None:
    from rereader.evals.regenerating import regenerate

    loaded = load_manifest(path)
    with bar() as told:
        changed = [str(one) for one in regenerate(loaded, told)]
    text = "\n".join(f"Updated {one}." for one in changed) or "Everything is as its rows make it."
    typer.echo(json.dumps({"updated": changed}) if as_json else text)
