"""The files of a new graph: a small strategy that works, its prompt, its test."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from rereader.graphs.registry import ReadingGraph
from rereader.schema import InputError

_KEBAB = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_LONGEST = 60
_TEMPLATES = {"graph": "{module}.py", "prompt": "{module}.md", "test": "test_{module}.py"}


@dataclass(frozen=True)
class NewGraph:
    """A graph that is to be written.

    Args:
        name: Its name, in kebab case.
        folder: Where its files go.
    """

    name: str
    folder: Path

    @property
    def module(self) -> str:
        """The name as that of a Python module."""
        return self.name.replace("-", "_")

    @property
    def files(self) -> dict[str, Path]:
        """Its files: ``graph``, ``prompt`` and ``test``."""
        return {kind: self.folder / name.format(module=self.module) for kind, name in _TEMPLATES.items()}

    def write(self) -> None:
        """Write the files from their templates."""
        self.folder.mkdir(parents=True, exist_ok=True)
        title = "".join(part.capitalize() for part in self.name.split("-"))
        for kind, path in self.files.items():
            template = resources.files("rereader.cli.templates") / f"{kind}.txt"
            text = Template(template.read_text(encoding="utf-8"))
            path.write_text(text.substitute(name=self.name, module=self.module, title=title), encoding="utf-8")


def check_new(new: NewGraph, known: Sequence[ReadingGraph], *, force: bool) -> None:
    """Refuse a graph that cannot be written.

    Args:
        new: The graph.
        known: The graphs that are there.
        force: Whether files may be overwritten.

    Raises:
        InputError: If the name is none, or taken, or a file is there.
    """
    _check_name(new)
    own = new.files["graph"].resolve()
    for graph in known:
        if graph.name == new.name and not (force and graph.origin == str(own)):
            hint = "Choose another name, or add --force." if graph.origin == str(own) else "Choose another name."
            raise InputError(f"The graph name {new.name!r} is taken by {graph.origin}.", hint)
    there = [path.name for path in new.files.values() if path.exists()]
    if there and not force:
        raise InputError(f"{', '.join(there)} is in {new.folder} already.", "Choose another name, or add --force.")


def _check_name(new: NewGraph) -> None:
    if not _KEBAB.match(new.name) or len(new.name) > _LONGEST:
        hint = f"Use small letters, digits and single hyphens, at most {_LONGEST}: my-graph."
        raise InputError(f"{new.name!r} is no name for a graph.", hint)
    if new.module.startswith(("test_", "conftest")) or new.module == "test":
        raise InputError(f"{new.name!r} would be taken for a test.", "Choose a name that does not begin with 'test'.")
    found = importlib.util.find_spec(new.module)
    if found is not None and found.origin != str(new.files["graph"].resolve()):
        msg = f"{new.module!r} is the name of a Python module, which {new.module}.py would stand before."
        raise InputError(msg, "Choose another name, of two words for instance.")


def next_steps(new: NewGraph, searched: Path) -> list[str]:
    """Commands that come next; ``searched`` is the folder where graph files are looked for."""
    found = new.folder.resolve() == searched.resolve()
    return [
        *([] if found else [f"export REREADER_GRAPHS={shlex.quote(str(new.folder.resolve()))}"]),
        "rereader graphs list",
        f"rereader ask FILE QUESTION --graph {new.name}",
        f"pytest {shlex.quote(str(new.files['test']))}",
    ]
