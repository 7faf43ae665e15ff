"""What is compared: graphs with their settings, each under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rereader.graphs.registry import all_graphs, get_graph
from rereader.schema import InputError

_FORM = "GRAPH, GRAPH:SETTING=VALUE:SETTING=VALUE or NAME=GRAPH:SETTING=VALUE"


@dataclass(frozen=True)
class System:
    """A graph with settings, under the name that the comparison shows."""

    name: str
    graph: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def every_system() -> list[System]:
    """Every registered graph with its usual settings."""
    return [System(graph.name, graph.name) for graph in all_graphs()]


def read_systems(lists: Iterable[str]) -> list[System]:
    """Systems from lists such as ``retrieval,paper=evidence-replay:preset=paper:rounds=2``.

    A colon begins a setting and a comma the next system; no sign of it means anything to a shell. Without a name of its
    own a system is called what was typed.

    Raises:
        InputError: If an entry is not of that form, a graph, setting or value does not exist, or two have one name.
    """
    found = [_system(entry.strip()) for entries in lists for entry in entries.split(",")]
    names = [system.name for system in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Two systems are called {name!r}.", f"Name one of them: other={name}")
    return found


def _system(entry: str) -> System:
    head, *pairs = entry.split(":")
    name, named, graph = head.partition("=")
    if not named:
        name, graph = entry, head
    if not name or not graph:
        raise InputError(f"{entry!r} is no system.", f"Write {_FORM}.")
    settings = dict(_pair(pair, entry) for pair in pairs)
    get_graph(graph).settings(settings)
    return System(name, graph, settings)


def _pair(pair: str, entry: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not name or not equals:
        raise InputError(f"{pair!r} in {entry!r} is no setting.", f"Write {_FORM}.")
    return name.replace("-", "_"), value


def with_common(systems: Sequence[System], common: Mapping[str, Any]) -> tuple[list[System], list[str]]:
    """The systems with settings for all of them; a system's own win.

    Returns:
        The systems, and what to tell the user of settings that some of their graphs do not have.

    Raises:
        InputError: If no graph has a setting, or a value does not fit one.
    """
    given = {system.name: dict(common) for system in systems}
    notes = []
    for name in common:
        without = [system.name for system in systems if name not in _known(system)]
        if len(without) == len(systems):
            get_graph(systems[0].graph).settings({name: common[name]})  # says what it may have meant
        if without:
            notes.append(f"The setting {name} does not exist for {', '.join(without)}.")
        for one in without:
            del given[one][name]
    made = [replace(system, settings={**given[system.name], **system.settings}) for system in systems]
    for system in made:
        get_graph(system.graph).settings(system.settings)
    return made, notes


def _known(system: System) -> set[str]:
    return {field.name for field in fields(get_graph(system.graph).settings_type)}
