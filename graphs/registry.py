"""Where graphs register and are found: one decorator feeds the command line, the drawings and the benchmarks.

Besides the graphs of this package there are those of installed packages, which name a module in the entry point group
``rereader.graphs``, and those of single files in the user's folder ``graphs_dir``. One of them that cannot be loaded
is said and left out.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import logging
import pkgutil
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from langgraph.graph import StateGraph
from pydantic import TypeAdapter, ValidationError

import rereader.graphs
from rereader.agents.context import ReadingState, RunContext
from rereader.agents.costs import Estimator, Facts, StageCost
from rereader.agents.fixing import FixedBy, declared, roles_of
from rereader.agents.node import stage_cost
from rereader.agents.settings import ReadingSettings
from rereader.config import NOT_GRAPHS, load_config
from rereader.schema import InputError, RereaderError
from rereader.schema.html import Html, box, folded, styled, table

Honesty = Literal["baseline", "faithful", "faithful-small-scale", "analogue", "ours"]
"""How close a graph is to what it is named after; ``ours`` is after no paper."""
Builder = Callable[[Any], "StateGraph[ReadingState, RunContext, ReadingState, ReadingState]"]
GROUP = "rereader.graphs"
"""The entry point group of packages that bring graphs; each value is a module that registers them when imported."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadingGraph:
    """A registered graph: how to build it, its settings, how close it is to what it is named after, where it is from.

    ``origin`` is its module, or the path of a file that belongs to no package.
    """

    name: str
    system: str
    honesty: Honesty
    settings_type: type[ReadingSettings]
    build: Builder
    doc: str
    estimator: Estimator | None = None
    origin: str = ""

    def label(self, settings: ReadingSettings) -> Honesty:
        """How close the graph is with these settings; one may have a form that is closer than the others."""
        honesty: Honesty = getattr(settings, "honesty", self.honesty)
        return honesty

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

    def fixed_by(self, setting: str) -> tuple[str, ...] | None:
        """Nodes that do once what a setting says; ``None`` stands for any, and is what holds if it does not say."""
        mark = self._marks.get(setting)
        return mark.nodes if mark else None

    @cached_property
    def _adapter(self) -> TypeAdapter[ReadingSettings]:
        return TypeAdapter(self.settings_type)

    @cached_property
    def _marks(self) -> Mapping[str, FixedBy]:
        return declared(self.settings_type)

    def made_with(self, settings: ReadingSettings) -> dict[str, tuple[str, ...]]:
        """By node, the roles whose models its work cannot be gone on without; see :mod:`rereader.agents.fixing`."""
        return {name: roles_of(node.runnable) for name, node in self.build(settings).nodes.items()}

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
            settings: ReadingSettings = self._adapter.validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = first["loc"][0] if first["loc"] else "settings"
            raise InputError(
                f"Setting {where!r} of graph {self.name!r} is wrong: {first['msg']}.", "Mend its value."
            ) from error
        return settings

    def _repr_html_(self) -> str:
        return _shown(self)


_GRAPHS: dict[str, ReadingGraph] = {}
_TRIED: set[str] = set()
_BROKEN: dict[str, str] = {}
_LOCK = threading.RLock()


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

    Raises:
        InputError: If another module has a graph of this name. The same one may register it anew.
    """

    def register(build: Builder) -> Builder:
        module = importlib.import_module(build.__module__)
        made = ReadingGraph(name, system, honesty, settings, build, module.__doc__ or "", estimate, _origin(module))
        taken = _GRAPHS.get(name)
        if taken and taken.origin != made.origin and _file(taken.build.__module__) != _file(build.__module__):
            msg = f"The graph name {name!r} is taken: {taken.origin} has it and {made.origin} wants it too."
            raise InputError(msg, "Register one of them under another name.")
        _GRAPHS[name] = made
        return build

    return register


def all_graphs() -> list[ReadingGraph]:
    """Every registered graph by name; graph files are imported on first use."""
    with _LOCK:
        for module in pkgutil.iter_modules(rereader.graphs.__path__):
            if module.name != "registry":
                importlib.import_module(f"rereader.graphs.{module.name}")
        _load_packages()
        _load_folder(load_config().graphs_dir)
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
        raise InputError(f"There is no graph {name!r}.", " ".join([hint, *_BROKEN.values()]))
    return known[name]


def load_graph_file(path: Path) -> ModuleType:
    """Import a graph file that belongs to no package, once; its graphs are registered then.

    Raises:
        InputError: If it is not there, or the name of its graph is taken.
    """
    path = path.resolve()
    if not path.is_file():
        raise InputError(f"There is no graph file {path}.", "Make one with: rereader graphs new NAME")
    name = f"rereader_graph_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader, "the path ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_packages() -> None:
    if GROUP in _TRIED:
        return
    _TRIED.add(GROUP)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry), entry.name)):
        _try(f"The graphs of package {_package(entry)} ({entry.value})", entry.load)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def _load_folder(folder: Path) -> None:
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else ():
        if not path.name.startswith(NOT_GRAPHS):
            _try(f"The graph file {path.resolve()}", partial(load_graph_file, path))


def _try(what: str, load: Callable[[], object]) -> None:
    """Load somebody's graphs once; if that fails, say so once and keep none of them."""
    if what in _TRIED:
        return
    _TRIED.add(what)
    before = dict(_GRAPHS)
    try:
        load()
    except (Exception, SystemExit) as error:  # whatever it does, the other graphs stay
        _GRAPHS.clear()
        _GRAPHS.update(before)
        _BROKEN[what] = f"{what} could not be loaded: {_reason(error)}"
        _LOG.warning("warning: %s", _BROKEN[what])


def _reason(error: BaseException) -> str:
    if isinstance(error, RereaderError):
        return str(error)
    said = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError):
        return f"{said}."  # which names file and line itself
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})."


def _origin(module: ModuleType) -> str:
    return str(module.__file__) if module.__name__.startswith("rereader_graph_") else module.__name__


def _file(module: str) -> Path | str:
    """The module's file; its name where it has none, as what is typed into a notebook."""
    found = getattr(sys.modules.get(module), "__file__", None)
    return Path(found).resolve() if found else module


def _shown(graph: ReadingGraph) -> Html:
    """A graph in a notebook: what it is after, its nodes and where they may lead, its settings."""
    settings = graph.settings({})
    label, drawable = graph.label(settings), graph.build(settings).compile().get_graph()
    nodes = [
        (name.strip("_"), ", ".join(edge.target.strip("_") for edge in drawable.edges if edge.source == name))
        for name in drawable.nodes
    ]
    known = [(field.name, repr(getattr(settings, field.name))) for field in fields(settings)]
    return box(
        graph.name,
        label if label == graph.system else f"{label}, after {graph.system}",
        styled(graph.summary, "", "div"),
        table(("node", "may lead to"), nodes),
        folded("settings", table(("setting", "default"), known)),
    )
