"""Makes the blocks and pictures that the manifest names, and tells which of them are not what their rows make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rereader.evals.expressions import fitting, plain_rows
from rereader.evals.graph_costs import cost_lines, cost_panels, scaling_lines
from rereader.evals.grouped_table import grouped_table
from rereader.evals.leaderboard import leaderboard
from rereader.evals.manifest import Block, Manifest, Plot
from rereader.evals.markdown_blocks import block_of, update_file
from rereader.evals.panels import Panel, draw, drawn_from, fingerprint
from rereader.evals.report import chosen_rows, render
from rereader.evals.score_plots import frontier_panels, length_panels

Told = Callable[[int, int], None]
Paths = Sequence[Path]


def make_block(manifest: Manifest, block: Block) -> str:
    """The Markdown of a block.

    Raises:
        InputError: If it names rows that are not there.
        StoreError: If they cannot be read.
    """
    paths = [manifest.results_file(name) for name in block.files]
    return MAKERS[block.table](manifest, block, paths)


def make_panels(manifest: Manifest, plot: Plot) -> list[Panel]:
    """What a picture shows.

    Raises:
        InputError: If it names rows that are not there.
        StoreError: If they cannot be read.
    """
    return DRAWINGS[plot.draw]([manifest.results_file(name) for name in plot.files])


def regenerate(manifest: Manifest, told: Told) -> list[Path]:
    """Write every block and picture anew; the files that are other than before.

    Raises:
        InputError: If a page, marker or results file is missing.
        StoreError: If a file cannot be read or written.
    """
    changed: dict[Path, None] = {}
    for done, block in enumerate(manifest.block):
        path, made = manifest.root / block.into, make_block(manifest, block)
        if not path.is_file() or block_of(path.read_text(encoding="utf-8"), block.marker) != made:
            update_file(path, block.marker, made)
            changed[block.into] = None
        told(done + 1, len(manifest.block) + len(manifest.plot))
    for done, plot in enumerate(manifest.plot, len(manifest.block)):
        if list(stale_pictures(manifest, plot)):
            panels = make_panels(manifest, plot)
            draw(panels, manifest.root / plot.path, title=plot.title)
            draw(panels, manifest.root / plot.dark, title=plot.title, dark=True)
            changed |= dict.fromkeys((plot.path, plot.dark))
        told(done + 1, len(manifest.block) + len(manifest.plot))
    return list(changed)


def stale_pictures(manifest: Manifest, plot: Plot) -> Iterator[Path]:
    """The pictures of a plot that are missing or drawn from other rows; each file says what it was drawn from."""
    wanted = fingerprint(make_panels(manifest, plot), plot.title)
    yield from (path for path in (plot.path, plot.dark) if drawn_from(manifest.root / path) != wanted)


def _results(manifest: Manifest, block: Block, paths: Paths) -> str:
    return render(paths, block.baseline, brief=block.brief, systems=block.systems, root=manifest.root)


def _leaderboard(manifest: Manifest, block: Block, paths: Paths) -> str:
    return leaderboard([(path, chosen_rows([path], block.systems)) for path in paths], manifest.root)


def _grouped(manifest: Manifest, block: Block, paths: Paths) -> str:
    rows = [row for path in paths for row in plain_rows(path)]
    return f"{grouped_table(fitting(rows, block.where), block.by, block.columns)}\n\n{_named(manifest, paths)}"


def _graph_costs(make: Callable[..., str], manifest: Manifest, block: Block, paths: Paths) -> str:
    rows = fitting([row for path in paths for row in plain_rows(path)], block.where)
    rows = [row for row in rows if not block.systems or row["graph"] in block.systems]
    return f"{make(rows)}\n\n{_named(manifest, paths)}"


def _named(manifest: Manifest, paths: Paths) -> str:
    return "\n".join(f"Raw rows: `{path.relative_to(manifest.root).as_posix()}`." for path in paths)


MAKERS: dict[str, Callable[[Manifest, Block, Paths], str]] = {
    "results": _results,
    "leaderboard": _leaderboard,
    "grouped": _grouped,
    "graph-costs": partial(_graph_costs, cost_lines),
    "scaling": partial(_graph_costs, scaling_lines),
}
"""What makes a block, by the name that the manifest gives."""

DRAWINGS: dict[str, Callable[[Paths], list[Panel]]] = {
    "frontier": frontier_panels,
    "lengths": length_panels,
    "graph-costs": cost_panels,
}
"""What makes a picture's panels."""
