"""Options that several commands share."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rereader.cli import completion
from rereader.config import Config, config_path, load_config
from rereader.schema import Budget, InputError, NotThere

if TYPE_CHECKING:
    from rereader.models.roles import RoleNames

RunId = Annotated[str, typer.Argument(help="Id of a run, or its first characters.", autocompletion=completion.run_ids)]
Workspace = Annotated[Path | None, typer.Option(help="Folder of the library.", show_default="the user's data folder")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="The reader: a name of 'rereader models list', a folder, or 'extractive'.",
        autocompletion=completion.reader_names,
    ),
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="A model server's address, for --model: http://127.0.0.1:8000/v1")
]
ApiKeyEnv = Annotated[
    str | None, typer.Option("--api-key-env", help="Name of the environment variable with that server's key.")
]
Role = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        help="Another role's model: gister=NAME, scorer=NAME, embedder=NAME.",
        autocompletion=completion.role_pairs,
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        help="What runs the models: auto, llamacpp, transformers, or transformers with weights in 8bit or 4bit.",
        show_default="auto",
    ),
]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", help="A setting of the graph: NAME=VALUE.")]
Graph = Annotated[
    str | None,
    typer.Option(
        "--graph",
        "-g",
        help="Reading strategy; see 'rereader graphs list'.",
        autocompletion=completion.graph_names,
    ),
]
Gist = Annotated[str | None, typer.Option(help="How memories are made: auto, extract or model.")]
Memory = Annotated[
    str | None,
    typer.Option(
        help="What is read of a chunk: text, kv (keys and values kept of it), or both (they decide, text is read).",
        show_default="text",
    ),
]
Password = Annotated[
    str | None, typer.Option(envvar="REREADER_PASSWORD", help="Password of encrypted files; it is not kept.")
]
Encoding = Annotated[str | None, typer.Option(help="Encoding of the files.", show_default="found out")]

MaxTokens = Annotated[int | None, typer.Option("--max-tokens", "--budget", help="Hard limit on tokens.")]
MaxCalls = Annotated[int | None, typer.Option("--max-calls", help="Hard limit on model calls.")]
MaxSeconds = Annotated[float | None, typer.Option("--max-seconds", help="Hard limit on seconds.")]
Confirm = Annotated[bool, typer.Option("--confirm", help="Show what it will cost and ask before starting.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown with footnotes.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page to this file; it needs no other file.")]

_READS = {"text": ("gist", "raw"), "kv": ("kv",), "both": ("both",)}
"""What each word of ``--memory`` may have a graph read, the usual one first."""


def role_names(
    config: Config,
    model: str | None,
    roles: list[str] | None,
    base_url: str | None = None,
    api_key_env: str | None = None,
) -> tuple[RoleNames, list[str]]:
    """Models by role from command line and configuration; the rest by what is pulled, with warnings."""
    from rereader.runs.choosing import choose_names

    named = pairs(roles or [], "--role")
    model = reader_name(config, model, base_url, api_key_env)
    return choose_names(config, {"reader": model, **named} if model else named)


def reader_name(config: Config, model: str | None, base_url: str | None, api_key_env: str | None) -> str | None:
    """The reader's name, with its server's address and key variable where they are given."""
    if model is not None and not model.strip():
        raise InputError("--model is empty.", "Name a model of 'rereader models list', or leave --model out.")
    if base_url is None and api_key_env is None:
        return model
    if model is None:
        raise InputError("--base-url names a server but no model.", "Name the model: --model openai:MODEL.")
    if model in config.endpoints:
        raise InputError(f"The endpoint {model} has its address in the configuration.", f"Mend it in {config_path()}.")
    from rereader.models.providers import endpoint_name

    return endpoint_name(model, base_url, api_key_env)


def graph_settings(values: list[str] | None, gist: str | None, memory: str | None = None) -> dict[str, Any]:
    """Settings of a graph from ``NAME=VALUE`` pairs and the options that have a name of their own.

    Raises:
        InputError: If an option cannot be used, or says something else than a pair.
    """
    settings: dict[str, Any] = pairs(values or [], "--set")
    if gist:
        settings["gist"] = gist
    if memory is not None:
        settings["reads"] = _read(memory, settings.get("reads"))
    return settings


def _read(memory: str, reads: str | None) -> str:
    """What ``--memory`` has a graph read, perhaps as ``--set reads=`` says more exactly."""
    if memory not in _READS:
        hint = "What the search index holds is another thing: --set memory=gist or --set memory=raw."
        raise InputError(f"--memory {memory!r} is none of text, kv and both.", hint)
    if reads is not None and reads not in _READS[memory]:
        raise InputError(f"--memory {memory} and --set reads={reads} do not go together.", "Leave one of them out.")
    return reads or _READS[memory][0]


def check_memory(memory: str | None, graph: str) -> None:
    """Refuse ``--memory`` for a graph that reads texts only.

    Raises:
        InputError: If it is asked for and the graph has no choice.
    """
    from rereader.graphs.registry import get_graph

    if memory and "reads" not in {field.name for field in fields(get_graph(graph).settings_type)}:
        hint = "Leave it out, or add --graph compressed-memory."
        raise InputError(f"The graph {graph} has no choice for --memory: it reads texts only.", hint)


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


def existing(workspace: Path | None) -> Config:
    """The configuration with this workspace, which is there.

    Raises:
        InputError: If it is not.
    """
    from rereader.memory.library import check_place

    config = configuration(workspace)
    check_place(config.workspace)
    if not (config.workspace / "library.db").is_file():
        raise NotThere(f"There is no workspace at {config.workspace}.", "Name one with --workspace.")
    return config


def configuration(workspace: Path | None) -> Config:
    """The configuration with this workspace."""
    return load_config(workspace=workspace)
