"""The manifest of the docs, ``docs/report.toml``: which block and picture comes from which rows, what is exempt."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rereader.evals.data import first_fault
from rereader.evals.rows import RESULTS
from rereader.schema.errors import InputError

DEFAULT = Path("docs/report.toml")


class Column(BaseModel):
    """A column of a ``grouped`` table: the mean of a field over a line's rows.

    Args:
        title: Head of the column.
        field: Field of a row; dots go down, a field that holds numbers by name counts as their sum.
        where: Only rows with these values.
        digits: Decimals.
        scale: Factor.
        unit: What follows the number.
        weight: A field that says how many observations a row stands for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    field: str
    where: tuple[str, ...] = ()
    digits: int = 2
    scale: float = 1.0
    unit: str = ""
    weight: str | None = None


class Block(BaseModel):
    """A block of a page and what it is made from.

    Args:
        into: The page.
        marker: Name of the block, unique among all pages.
        files: Results files, by name without folder and suffix.
        table: Which tables; see :data:`rereader.evals.regenerating.MAKERS`.
        baseline: The system that the others are compared with.
        brief: Short tables only.
        systems: Only these systems (graphs, of costs).
        by: Fields that make a line of a ``grouped`` table.
        columns: Its other columns.
        where: Only rows with these values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    into: Path
    marker: str = Field(pattern=r"^[\w.-]+$")
    files: tuple[str, ...] = Field(min_length=1)
    table: Literal["results", "leaderboard", "graph-costs", "scaling", "grouped"] = "results"
    baseline: str = "bm25"
    brief: bool = False
    systems: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    where: tuple[str, ...] = ()


class Plot(BaseModel):
    """A picture and what it is drawn from; ``NAME.png`` on white, ``NAME-dark.png`` for dark pages.

    Args:
        path: The picture on white.
        draw: What it shows; see :data:`rereader.evals.regenerating.DRAWINGS`.
        files: Results files, by name without folder and suffix.
        title: What stands above it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    draw: Literal["frontier", "lengths", "graph-costs"]
    files: tuple[str, ...] = Field(min_length=1)
    title: str = ""

    @property
    def dark(self) -> Path:
        """The picture for dark pages."""
        return self.path.with_name(f"{self.path.stem}-dark{self.path.suffix}")


class Exempt(BaseModel):
    """Numbers that no row stands behind: those that a pattern finds in prose, on all pages or on one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    reason: str
    file: Path | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no pattern: {error}") from error
        return value


class Manifest(BaseModel):
    """Everything that ``rereader bench report`` writes and ``rereader bench verify`` looks at.

    Args:
        pages: Pages whose numbers are looked at, as glob patterns below the root.
        reasons: What a note may say in place of an expression: name -> what it means.
        exempt: Numbers that need no note.
        block: The blocks.
        plot: The pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    pages: tuple[str, ...] = ("README.md", "docs/**/*.md")
    reasons: Mapping[str, str] = Field(default_factory=dict)
    exempt: tuple[Exempt, ...] = ()
    block: tuple[Block, ...] = ()
    plot: tuple[Plot, ...] = ()

    def page_paths(self) -> list[Path]:
        """The pages that there are, below the root."""
        found = {path for pattern in self.pages for path in self.root.glob(pattern)}
        return sorted(path.relative_to(self.root) for path in found)

    def results_file(self, name: str) -> Path:
        """Where the rows of a results file lie.

        Raises:
            InputError: If there is none of that name.
        """
        for suffix in (".jsonl", ".json"):
            path = self.root / RESULTS / f"{name}{suffix}"
            if path.is_file():
                return path
        raise InputError(f"There are no rows {name!r} in {RESULTS}.", "Name a file there, without its suffix.")


def load_manifest(path: Path) -> Manifest:
    """Load a manifest; its root is the folder above its own.

    Raises:
        InputError: If it is not there, or is no manifest.
    """
    if not path.is_file():
        raise InputError(f"There is no manifest {path}.", "Call this in the checkout, or name one with --manifest.")
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        found = Manifest.model_validate({**raw, "root": path.absolute().parent.parent})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The manifest {path} is not TOML: {error}.", "Mend the file.") from error
    except ValidationError as error:
        raise InputError(f"The manifest {path} is wrong at {first_fault(error)}.", "Mend the file.") from error
    markers = [block.marker for block in found.block]
    if twice := next((marker for marker in markers if markers.count(marker) > 1), None):
        raise InputError(f"The manifest {path} has two blocks {twice!r}.", "Rename one of them.")
    return found
