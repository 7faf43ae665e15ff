"""Defaults of this machine: one TOML file, overruled by environment variables and then by the command line."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from platformdirs import user_config_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rereader.schema import InputError
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.types import Runtime

_VARIABLES = {
    "workspace": "REREADER_WORKSPACE",
    "models_dir": "REREADER_MODELS",
    "graphs_dir": "REREADER_GRAPHS",
    "model": "REREADER_MODEL",
}
NOT_GRAPHS = ("_", "test_", "conftest")
"""What names of files in ``graphs_dir`` begin with that hold no graph and are not imported."""


def _data(name: str) -> Path:
    return user_data_path("rereader", appauthor=False) / name


def _beside_the_file() -> Path:
    return config_path().parent / "graphs"


class Config(BaseModel):
    """What ``rereader config`` shows. ``None`` for a model means the best one that is pulled.

    Graph files are code, so they are looked for in one folder of the user's own, never in a document's or a
    workspace's: ``graphs_dir``, by default the folder ``graphs`` beside the configuration file. ``kv_megabytes`` is the
    most that compressed memories may take in a workspace; without it 20 GB, and at most half of what the disk has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: Path = Field(default_factory=lambda: _data("workspace"))
    models_dir: Path = Field(default_factory=lambda: _data("models"))
    graphs_dir: Path = Field(default_factory=_beside_the_file)
    graph: str = "compressed-memory"
    model: str | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    runtime: Runtime = "auto"
    kv_megabytes: int | None = Field(default=None, ge=0)
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)

    @property
    def private_folders(self) -> tuple[Path, ...]:
        """The folders, absolute as they were named and as they are: what goes to somebody else names none of them."""
        named = [folder.absolute() for folder in (self.workspace, self.models_dir, self.graphs_dir)]
        return tuple(dict.fromkeys([*named, *(folder.resolve() for folder in named)]))

    @property
    def kv_bytes(self) -> int | None:
        """Most bytes that compressed memories may take; ``None`` if nothing is said of them."""
        return None if self.kv_megabytes is None else self.kv_megabytes * 1_000_000


def config_path() -> Path:
    """Where the file is looked for: ``REREADER_CONFIG`` or the user's configuration folder."""
    named = os.environ.get("REREADER_CONFIG")
    return Path(named) if named else user_config_path("rereader", appauthor=False) / "config.toml"


def load_config(**overrides: Any) -> Config:
    """Read file, environment and ``overrides`` (those that are not ``None``), in that order.

    Raises:
        InputError: If the file is not valid TOML or a value does not fit.
    """
    path = config_path()
    values: dict[str, Any] = {}
    if path.is_file():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}.", "Mend or remove the file.") from error
    values |= {key: os.environ[name] for key, name in _VARIABLES.items() if os.environ.get(name)}
    values |= {key: value for key, value in overrides.items() if value is not None}
    for key in ("workspace", "models_dir", "graphs_dir"):
        if key in values:
            values[key] = Path(values[key]).expanduser()
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"Setting {where!r} is wrong: {first['msg']}.", f"Mend it in {path}.") from error
