"""Models by hub id, ``ORGANISATION/NAME``: found in the local cache, downloaded only when ``models pull`` names one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from rereader.schema.errors import InputError, MissingExtra, ModelError

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "1_Pooling/*")


def is_hub_id(name: str) -> bool:
    """Whether a name is written like a hub id and is no path of this machine."""
    return _ID.fullmatch(name) is not None and not name.lower().endswith(".gguf") and not Path(name).exists()


def from_cache(name: str) -> Path:
    """The folder of a model that was downloaded before; asks no network.

    Raises:
        InputError: If it is not there.
        MissingExtra: If huggingface_hub is not installed.
    """
    snapshot = _snapshots()
    try:
        return snapshot(name, local_only=True)
    except Exception as error:  # the library's errors for "not here" differ between its versions
        msg = f"There is no model at {name}, and none of that hub id was downloaded."
        raise InputError(msg, f"Check the path, or run: rereader models pull {name}") from error


def download(name: str) -> Path:
    """Download a model's config, tokenizer and safetensors weights into the hub's local cache.

    Raises:
        ModelError: If it cannot be had.
        MissingExtra: If huggingface_hub is not installed.
    """
    snapshot = _snapshots()
    try:
        return snapshot(name, local_only=False)
    except Exception as error:  # connection, missing model, missing permission, offline mode
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name} cannot be downloaded: {reason}", "Check the id and the connection.") from error


class _Snapshot(Protocol):
    def __call__(self, name: str, *, local_only: bool) -> Path: ...


def _snapshots() -> _Snapshot:
    """What finds a model's folder, or raises the library's own errors."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra("A model by hub id", "local") from error

    def snapshot(name: str, *, local_only: bool) -> Path:
        folder = Path(snapshot_download(name, local_files_only=local_only, allow_patterns=list(_WANTED)))
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{name} has no config.json")
        return folder

    return snapshot
