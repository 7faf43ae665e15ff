"""A graph as a picture, drawn here: LangGraph's own PNG comes from a web service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rereader.schema import MissingExtra

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph

_STEP = 1.3
_BEND = 0.5
_SIDE = 0.38
_HALF_BOX = 0.32
_LOOP = 0.18
_LOOP_BEND = 1.6
"""How far an edge from a node to itself swings out on the left."""


def draw_png(graph: Graph, path: Path) -> None:
    """Draw nodes from top to bottom in reading order and edges between them; dashed edges are conditional.

    Raises:
        MissingExtra: Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("Drawing a PNG", "bench") from error
    names = list(graph.nodes)
    height = {name: -i * _STEP for i, name in enumerate(names)}
    figure = Figure(figsize=(5.5, 0.75 * len(names) + 0.5))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-2.6, 2.6)
    axes.set_ylim(-_STEP * len(names) + 0.5, _STEP - 0.4)
    for name in names:
        box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3fb", "edgecolor": "#3a5a8c"}
        axes.text(0, height[name], name.strip("_"), ha="center", va="center", bbox=box, fontsize=11)
    for edge in graph.edges:
        distance = names.index(edge.target) - names.index(edge.source)
        side = 0.0 if distance == 1 else _SIDE if distance > 1 else -_SIDE
        bend = 0.0 if distance == 1 else _LOOP_BEND if distance == 0 else -_BEND
        gap = _HALF_BOX if distance == 1 else -_LOOP if distance == 0 else 0.0
        axes.annotate(
            "",
            xy=(side, height[edge.target] + gap),
            xytext=(side, height[edge.source] - gap),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#3a5a8c",
                "linestyle": "--" if edge.conditional and distance != 1 else "-",
                "connectionstyle": f"arc3,rad={bend}",
            },
        )
    figure.savefig(path, dpi=150, bbox_inches="tight")
