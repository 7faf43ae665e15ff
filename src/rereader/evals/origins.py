"""Where a benchmark's file comes from: the data folder, or a data set of the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rereader.evals.data import VARIABLE, read_text
from rereader.schema.errors import InputError, MissingExtra, StoreError


def benchmark_file(data: Path, default: str, *, file: str = "", hub: str = "", original: str = "") -> Path:
    """The file of a benchmark on this machine.

    Args:
        data: The data folder.
        default: Path of our own copy below it.
        file: Another path below it, or a file of the hub's data set.
        hub: Id of a data set, ``OWNER/NAME``; its file is downloaded once into the hub's local cache.
        original: Who published the data, to be told where it is absent.

    Raises:
        InputError: If it is not here and cannot be had.
        MissingExtra: If huggingface_hub is needed and not installed.
    """
    if hub:
        return _downloaded(hub, file or Path(default).name)
    path = data / (file or default)
    if not path.is_file():
        hint = f"Put it into the folder that {VARIABLE} names, or write hub = 'OWNER/NAME' under [options]"
        raise InputError(
            f"The benchmark data is not here: {file or default}.", f"{hint}; it was published by {original}."
        )
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that holds JSON lines or one JSON list; compressed if it ends in ``.gz``.

    Raises:
        StoreError: If it is neither.
    """
    content = read_text(path)
    try:
        if content.lstrip().startswith("["):
            return list(json.loads(content))
        return [json.loads(line) for line in content.split("\n") if line.strip()]
    except ValueError as error:
        raise StoreError(f"{path} is not JSON: {error}.", "Get the file again.") from error


def _downloaded(hub: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingExtra("A data set by hub id", "local") from error
    try:
        return Path(hf_hub_download(hub, file, repo_type="dataset"))
    except Exception as error:  # the library's errors for "not here" differ between its versions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{file} of the data set {hub} cannot be had: {reason}", "Check id, file and connection."
        ) from error
