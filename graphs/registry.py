"""Where graphs register and are found: one decorator feeds the command line, the drawings and the benchmarks."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from langgraph.graph import StateGraph
from pydantic import TypeAdapter, ValidationError

import rereader.graphs
from rereader.agents.context import ReadingState, RunContext, stage_cost
from rereader.agents.costs import Estimator, Facts, StageCost
from rereader.agents.settings import ReadingSettings
from rereader.schema import InputError

Honesty = Literal["baseline", "faithful", "faithful-small-scale", "analogue"]
Builder = Callable[[Any], "StateGraph[ReadingState, RunContext, ReadingState, ReadingState]"]


@dataclass(frozen=True)
class ReadingGraph:
    """A registered graph: how to build it, its settings, and how close it is to what it is named after."""

    name: str
    system: str
    honesty: Honesty
    settings_type: type[ReadingSettings]
    build: Builder
    doc: str
    estimator: Estimator | None = None

    @property
    def summary(self) -> str:
        """First line of the graph file's docstring."""
        return self.doc.strip().split("\n", maxsplit=1)[0]

    def costs(self, settings: ReadingSettings, facts: Facts) -> list[StageCost]:
        """What each stage will cost: by the graph's own formula, else by what its agents declare."""
        if self.estimator:
            return list(self.estimator(settings, facts))
        nodes = self.build(settings).nodes
        return [replace(stage_cost(node.runnable, settings, facts), stage=name) for name, node in nodes.items()]

    def still_known(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a stored run's settings that the graph still has; another version may have had others."""
        known = {field.name for field in fields(self.settings_type)}
        return {name: value for name, value in values.items() if name in known}

    def settings(self, values: Mapping[str, Any]) -> ReadingSettings:
        """Settings from names and values (strings are converted).

        Raises:
            InputError: If a name is unknown or a value does not fit.
        """
        known = [field.name for field in fields(self.settings_type)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known settings: {', '.join(known)}."
                raise InputError(f"Graph {self.name!r} has no setting {name!r}.", hint)
        try:
            settings: ReadingSettings = TypeAdapter(self.settings_type).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = first["loc"][0] if first["loc"] else "settings"
            raise InputError(
                f"Setting {where!r} of graph {self.name!r} is wrong: {first['msg']}.", "Mend its value."
            ) from error
        return settings


_GRAPHS: dict[str, ReadingGraph] = {}


def reading_graph(
    name: str,
    *,
    system: str,
    honesty: Honesty,
    settings: type[ReadingSettings],
    estimate: Estimator | None = None,
) -> Callable[[Builder], Builder]:
    """Register the decorated ``build(settings) -> StateGraph`` under ``name``.

    ``estimate(settings, facts) -> [StageCost]`` is the graph's own formula for what a run costs; without it the costs
    that its agents declare are added up.
    """

    def register(build: Builder) -> Builder:
        doc = importlib.import_module(build.__module__).__doc__ or ""
        _GRAPHS[name] = ReadingGraph(name, system, honesty, settings, build, doc, estimate)
        return build

    return register


def all_graphs() -> list[ReadingGraph]:
    """Every registered graph by name; graph files are imported on first use."""
    for module in pkgutil.iter_modules(rereader.graphs.__path__):
        if module.name != "registry":
            importlib.import_module(f"rereader.graphs.{module.name}")
    return sorted(_GRAPHS.values(), key=lambda graph: graph.name)


def get_graph(name: str) -> ReadingGraph:
    """The graph of this name.

    Raises:
        InputError: If there is none.
    """
    known = {graph.name: graph for graph in all_graphs()}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known graphs: {', '.join(known)}."
        raise InputError(f"There is no graph {name!r}.", hint)
    return known[name]
