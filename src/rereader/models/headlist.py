"""Which of a model's heads are its retrieval heads: found on this machine, or published in the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

from rereader.models.base import Head
from rereader.models.catalogue import load_catalogue
from rereader.models.installed import locate
from rereader.schema.errors import InputError, RereaderError


def detected_file(folder: Path, models_dir: Path) -> Path:
    """Where the list that was found for the model of a folder is kept."""
    return models_dir / f".heads-{folder.name}.json"


def heads_in_use(name: str, models_dir: Path) -> tuple[list[Head], str]:
    """A model's retrieval heads, best first, and where the list comes from.

    Raises:
        InputError: If there is no list, or the one that was found here cannot be read.
    """
    path = detected_file(locate(name, models_dir, weights=False), models_dir)
    if path.is_file():
        return read_heads(path), f"found on this machine ({path})"
    try:
        published = load_catalogue().find(name).heads
    except RereaderError:
        published = ()
    if not published:
        msg = f"There is no list of retrieval heads for {name}."
        raise InputError(msg, f"Run: rereader models heads {name} --detect hotpotqa")
    return [Head(layer, head) for layer, head in published], "the catalogue"


def read_heads(path: Path) -> list[Head]:
    """The heads in a file that detection wrote.

    Raises:
        InputError: If it holds none.
    """
    try:
        return [Head(int(layer), int(head)) for layer, head in json.loads(path.read_text(encoding="utf-8"))["heads"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no list of heads.", "Remove it, or find the heads again.") from error
