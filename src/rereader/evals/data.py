"""Reads the benchmark data: its folder, texts, JSON lines and checksums."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rereader.schema.errors import InputError

VARIABLE = "REREADER_DATA"
HINT = f"Set {VARIABLE} to the folder that holds needles/, essays/, books/ and the other data."
UNSET = Path(f"${VARIABLE}")
"""Stands for the folder where the variable is not set: no file is found in it, and errors name it."""
Options = TypeVar("Options", bound=BaseModel)


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The benchmark data's folder, named by the variable ``REREADER_DATA``.

    Raises:
        InputError: If the variable is not set or names no folder.
    """
    value = environ.get(VARIABLE, "")
    if not value:
        raise InputError(f"The benchmark data is not here: {VARIABLE} is not set.", HINT)
    folder = Path(value)
    if not folder.is_dir():
        raise InputError(f"{VARIABLE} names no folder: {value}.", HINT)
    return folder


def data_folder_if_set(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder, or :data:`UNSET`, for benchmarks that may be made without data or take it from a hub.

    Raises:
        InputError: If the variable names no folder.
    """
    return data_folder(environ) if environ.get(VARIABLE) else UNSET


def read_text(path: Path) -> str:
    """A UTF-8 text, gzip-compressed if its name ends in ``.gz``, without BOM and with LF line ends."""
    raw = _read(path)
    content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, in order."""
    return [json.loads(line) for line in read_text(path).splitlines() if line.strip()]


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 over names and bytes of the files, whatever order they are given in."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name}\n{hashlib.sha256(_read(path)).hexdigest()}\n".encode())
    return digest.hexdigest()


def parse_options(model: type[Options], options: Mapping[str, Any]) -> Options:
    """The options of a benchmark as its own type.

    Raises:
        InputError: If one is unknown or has a wrong value.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise InputError(
            f"Unusable benchmark options: {first_fault(error)}.", "Mend [options] in the suite."
        ) from error


def first_fault(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one line."""
    fault = error.errors()[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the benchmark file {path}: {error.strerror}.", HINT) from error
