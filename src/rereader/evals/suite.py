"""A suite: a committed TOML file that fixes benchmark, split, seeds, options and systems before anything is run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from rereader.evals.data import first_fault
from rereader.evals.items import Split
from rereader.schema import Budget
from rereader.schema.errors import InputError
from rereader.schema.types import Frozen


class System(Frozen):
    """Something that answers: a graph with its settings, under the name that tables use."""

    name: str = Field(min_length=1)
    graph: str
    settings: Mapping[str, Any] = Field(default_factory=dict)

    def with_settings(self, extra: Mapping[str, Any]) -> System:
        """The same system with more settings, which win over its own."""
        return System(name=self.name, graph=self.graph, settings={**self.settings, **extra})


class Suite(Frozen):
    """What a suite file says. ``settings`` hold for every system; a system's own win over them."""

    name: str
    about: str = ""
    benchmark: str
    split: Split = "dev"
    seeds: tuple[int, ...] = (0,)
    options: Mapping[str, Any] = Field(default_factory=dict)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    budget: Budget = Budget()
    systems: tuple[System, ...] = Field(min_length=1)

    def chosen(self, names: Sequence[str] | None = None) -> list[System]:
        """The systems of these names (all when ``None``), in the suite's order, with the common settings.

        Raises:
            InputError: If a name is not in the suite.
        """
        known = [system.name for system in self.systems]
        if unknown := [name for name in names or () if name not in known]:
            raise InputError(f"The suite {self.name} has no system {unknown[0]!r}.", f"It has: {', '.join(known)}.")
        wanted = known if names is None else names
        return [_merged(self.settings, system) for system in self.systems if system.name in wanted]


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    folder = resources.files("rereader.evals") / "suites"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_suite(name: str) -> Suite:
    """Load a suite by its name, or from a path that ends in ``.toml``.

    Raises:
        InputError: If there is none, or the file is not a suite.
    """
    content, stem = _read(name)
    try:
        suite = Suite.model_validate({"name": stem, **tomllib.loads(content)})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The suite {name} is not TOML: {error}.", "Mend the file.") from error
    except ValidationError as error:
        raise InputError(f"The suite {name} is wrong at {first_fault(error)}.", "Mend the file.") from error
    return _unique(suite)


def _read(name: str) -> tuple[str, str]:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"There is no suite file {name}.", "Give a path that exists, or the name of a suite.")
        return path.read_text(encoding="utf-8"), path.stem
    if name not in suite_names():
        raise InputError(f"There is no suite {name!r}.", f"There are: {', '.join(suite_names())}.")
    return (resources.files("rereader.evals") / "suites" / f"{name}.toml").read_text(encoding="utf-8"), name


def _unique(suite: Suite) -> Suite:
    names = [system.name for system in suite.systems]
    if len(set(names)) < len(names):
        raise InputError(f"The suite {suite.name} gives one name to two systems.", "Rename one of them.")
    return suite


def _merged(common: Mapping[str, Any], system: System) -> System:
    return System(name=system.name, graph=system.graph, settings={**common, **system.settings})
