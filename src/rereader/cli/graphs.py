"""``rereader graphs``: list, show, draw, begin a new one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from rereader.cli import completion, options
from rereader.cli.console import output, print_json
from rereader.cli.drawing import draw_png
from rereader.cli.showing import check_forms
from rereader.config import load_config

if TYPE_CHECKING:
    from rereader.graphs.registry import ReadingGraph

_ARXIV = re.compile(r"\b(\d{4}\.\d{5})\b")
app = typer.Typer(help="List, show, draw and begin reading graphs.", no_args_is_help=True)


@app.command("list")
def list_graphs(
    json: options.Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List reading graphs.

    For example:

    rereader graphs list
    """
    from rereader.graphs.registry import all_graphs

    check_forms(json=json, markdown=markdown, html=None)
    found = all_graphs()
    if markdown:
        output().print(graphs_table(found), markup=False)
        return
    if json:
        print_json(
            [
                {**_facts(graph), "settings": {field.name: field.default for field in fields(graph.settings_type)}}
                for graph in found
            ]
        )
        return
    table = Table("graph", "after", "label", "idea", box=None, padding=(0, 2, 0, 0))
    for graph in found:
        table.add_row(graph.name, graph.system, _label(graph), graph.summary)
    output().print(table)


def graphs_table(found: Sequence[ReadingGraph]) -> str:
    """Graphs as a Markdown table; arXiv ids become links."""
    lines = ["| graph | after | label | idea |", "|---|---|---|---|"]
    for graph in found:
        after = _ARXIV.sub(r"[\1](https://arxiv.org/abs/\1)", graph.system)
        lines.append(f"| `{graph.name}` | {after} | {_label(graph)} | {graph.summary} |")
    return "\n".join(lines)


def _facts(graph: ReadingGraph) -> dict[str, str]:
    return {
        "name": graph.name,
        "system": graph.system,
        "honesty": _label(graph),
        "origin": graph.origin,
        "summary": graph.summary,
    }


def _label(graph: ReadingGraph) -> str:
    """The label of what is run if no setting is given."""
    return graph.label(graph.settings({}))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A graph's name.", autocompletion=completion.graph_names)],
    json: options.Json = False,
) -> None:
    """Say what a graph does and what its settings mean.

    For example:

    rereader graphs show ledger
    """
    from rereader.graphs.registry import get_graph
    from rereader.runs.described import settings_of

    graph = get_graph(name)
    settings = settings_of(graph)
    if json:
        print_json({**_facts(graph), "doc": graph.doc.strip(), "settings": [vars(setting) for setting in settings]})
        return
    output().print(f"{graph.name} ({_label(graph)}, after {graph.system})\n\n{graph.doc.strip()}\n", markup=False)
    table = Table("--set", "default", "values", "meaning", box=None, padding=(0, 2, 0, 0))
    for setting in settings:
        meaning = setting.meaning.replace("``", "'")
        table.add_row(*(Text(part) for part in (setting.name, str(setting.default), setting.values, meaning)))
    output().print(table)


@app.command()
def draw(
    name: Annotated[str, typer.Argument(help="A graph's name.", autocompletion=completion.graph_names)],
    png: Annotated[Path | None, typer.Option(help="Write a picture to this file.")] = None,
) -> None:
    """Draw a graph as Mermaid text, or as a PNG picture.

    For example:

    rereader graphs draw compressed-memory

    rereader graphs draw compressed-memory --png graph.png
    """
    from rereader.graphs.registry import get_graph

    graph = get_graph(name)
    drawable = graph.build(graph.settings({})).compile().get_graph()
    if png is None:
        output().print(drawable.draw_mermaid(), markup=False)
        return
    draw_png(drawable, png)
    output().print(f"Wrote {png}.", markup=False)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The graph's name, in small letters with hyphens: my-graph.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where its files go.", show_default="graphs_dir of 'rereader config show'")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    json: options.Json = False,
) -> None:
    """Begin a reading graph: a small strategy that works, its prompt and its test.

    It goes into the folder where graph files are looked for, so that every command knows it at once. Another --folder
    has to be named to them: export REREADER_GRAPHS=FOLDER, or graphs_dir in the configuration.

    For example:

    rereader graphs new my-graph

    rereader graphs new my-graph --folder strategies
    """
    from rereader.cli.scaffold import NewGraph, check_new, next_steps
    from rereader.graphs.registry import all_graphs

    searched = load_config().graphs_dir
    made = NewGraph(name, folder or searched)
    check_new(made, all_graphs(), force=force)
    made.write()
    steps = next_steps(made, searched)
    if json:
        files = {kind: str(path) for kind, path in made.files.items()}
        print_json({"name": name, "folder": str(made.folder), **files, "next": steps})
        return
    names = ", ".join(path.name for path in made.files.values())
    output().print(f"Wrote {names} in {made.folder}. Next:", markup=False)
    for step in steps:
        output().print(f"  {step}", markup=False)
