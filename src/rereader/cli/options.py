"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rereader.config import Config, load_config
from rereader.models.roles import RoleNames
from rereader.runs.choosing import choose_names
from rereader.schema import Budget, InputError

Workspace = Annotated[Path | None, typer.Option(help="Folder of the library.", show_default="the user's data folder")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="The reader: a name of 'rereader models list', a folder, or 'extractive'."),
]
Role = Annotated[
    list[str] | None, typer.Option("--role", help="Another role's model: gister=NAME, scorer=NAME, embedder=NAME.")
]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", help="A setting of the graph: NAME=VALUE.")]
Graph = Annotated[str | None, typer.Option("--graph", "-g", help="Reading strategy; see 'rereader graphs list'.")]
Gist = Annotated[str | None, typer.Option(help="How memories are made: auto, extract or model.")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of the files.", show_default="found out")]


def role_names(config: Config, model: str | None, roles: list[str] | None) -> tuple[RoleNames, list[str]]:
    """Models by role from command line and configuration; the rest by what is pulled, with warnings."""
    named = pairs(roles or [], "--role")
    return choose_names(config, {"reader": model, **named} if model else named)


def graph_settings(values: list[str] | None, gist: str | None) -> dict[str, Any]:
    """Settings of a graph from ``NAME=VALUE`` pairs and the options that have a name of their own."""
    settings: dict[str, Any] = pairs(values or [], "--set")
    if gist:
        settings["gist"] = gist
    return settings


def pairs(values: list[str], option: str) -> dict[str, str]:
    """``["a=1", ...]`` as a mapping."""
    found = {}
    for value in values:
        name, equals, content = value.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {value!r} is not NAME=VALUE.", f"For instance: {option} name=value")
        found[name.replace("-", "_")] = content
    return found


def make_budget(tokens: int | None, calls: int | None, seconds: float | None) -> Budget:
    """A budget from the three limits."""
    for name, value in (("tokens", tokens), ("calls", calls), ("seconds", seconds)):
        if value is not None and not value >= 0:  # not a number is refused too
            raise InputError(f"A budget of {value:g} {name} is negative.", f"Give --max-{name} a positive number.")
    return Budget(tokens=tokens, calls=calls, seconds=seconds)


def configuration(workspace: Path | None) -> Config:
    """The configuration with this workspace."""
    return load_config(workspace=workspace)
