"""``rereader graphs``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rereader.cli import completion, options
from rereader.cli.console import output, print_json
from rereader.cli.drawing import draw_png

app = typer.Typer(help="List and draw reading graphs.", no_args_is_help=True)


@app.command("list")
def list_graphs(json: options.Json = False) -> None:
    """List reading graphs and their settings.

    For example:

    rereader graphs list
    """
    from rereader.graphs.registry import all_graphs

    found = all_graphs()
    if json:
        print_json(
            [
                {
                    "name": graph.name,
                    "system": graph.system,
                    "honesty": graph.honesty,
                    "summary": graph.summary,
                    "settings": {field.name: field.default for field in fields(graph.settings_type)},
                }
                for graph in found
            ]
        )
        return
    table = Table("graph", "after", "label", "idea", box=None, padding=(0, 2, 0, 0))
    for graph in found:
        table.add_row(graph.name, graph.system, graph.honesty, graph.summary)
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
