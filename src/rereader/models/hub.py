"""Models by hub id, ``ORGANISATION/NAME``: found in the local cache, downloaded only when ``models pull`` names one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rereader.schema.errors import InputError, MissingExtra, ModelError, RereaderError

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
    msg = f"There is no model at {name}, and none of that hub id was downloaded."
    absent = InputError(msg, f"Check the path, or run: rereader models pull {name}")
    return _snapshot(name, True, lambda _: absent)


def download(name: str) -> Path:
    """Download a model's config, tokenizer and safetensors weights into the hub's local cache.

    Raises:
        ModelError: If it cannot be had.
        MissingExtra: If huggingface_hub is not installed.
    """
    hint = "Check the id and the connection."
    return _snapshot(name, False, lambda reason: ModelError(f"{name} cannot be downloaded: {reason}", hint))


def _snapshot(name: str, local_only: bool, failure: Callable[[str], RereaderError]) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra("A model by hub id", "local") from error
    try:
        folder = Path(snapshot_download(name, local_files_only=local_only, allow_patterns=list(_WANTED)))
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{name} has no config.json")
    except Exception as error:  # the library's errors for "not here" differ between its versions
        raise failure((str(error).strip().splitlines() or [type(error).__name__])[0]) from error
    return folder
