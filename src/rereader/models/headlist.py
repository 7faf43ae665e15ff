"""Which of a model's heads are its retrieval heads: found on this machine, or published."""

from __future__ import annotations

import hashlib
import json
import shlex
import tomllib
from importlib import resources
from pathlib import Path

from rereader.models.base import Head
from rereader.models.catalogue import CatalogueEntry, load_catalogue
from rereader.models.hub import is_hub_id
from rereader.models.installed import locate
from rereader.models.runtimes import split_mark
from rereader.schema.errors import InputError


def detected_file(name: str, models_dir: Path) -> Path:
    """Where the list that was found for a model is kept.

    Raises:
        InputError: If there is no such model.
    """
    name, _ = split_mark(name)
    if entry := _entry(name):
        key = entry.name
    elif is_hub_id(name):
        key = name.replace("/", "--")
    else:
        folder = locate(name, models_dir, weights=False).resolve()
        key = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    return models_dir / f".heads-{key}.json"


def heads_in_use(name: str, models_dir: Path) -> tuple[list[Head], str]:
    """A model's retrieval heads, best first, and where the list comes from.

    Raises:
        InputError: If there is no such model or no list, or the one that was found here cannot be read.
    """
    found = known_heads(name, models_dir)
    if found is None:
        raise no_heads(split_mark(name)[0])
    return found


def known_heads(name: str, models_dir: Path) -> tuple[list[Head], str] | None:
    """A model's retrieval heads, best first, and where the list comes from; ``None`` if there is none.

    Raises:
        InputError: If there is no such model, or the list that was found here cannot be read.
    """
    name, _ = split_mark(name)
    path = detected_file(name, models_dir)
    if path.is_file():
        return read_heads(path), f"found on this machine ({path})"
    entry = _entry(name)
    if entry is not None and entry.heads:
        return [Head(layer, head) for layer, head in entry.heads], "the catalogue"
    return published_heads().get(name)


def no_heads(name: str) -> InputError:
    """What to say where a list of heads is needed and there is none."""
    msg = f"There is no list of retrieval heads for {name}."
    return InputError(msg, f"Run: rereader models heads {shlex.quote(name)} --detect hotpotqa")


def published_heads() -> dict[str, tuple[list[Head], str]]:
    """Hub id -> heads, best first, and where they were published."""
    text = (resources.files("rereader.models") / "published_heads.toml").read_text(encoding="utf-8")
    found = {}
    for row in tomllib.loads(text)["list"]:
        pairs = (pair.split("-") for pair in row["heads"].split())
        found[row["model"]] = ([Head(int(layer), int(head)) for layer, head in pairs], row["source"])
    return found


def read_heads(path: Path) -> list[Head]:
    """The heads in a file that detection wrote.

    Raises:
        InputError: If it holds none.
    """
    hint = "Name a file that 'rereader models heads MODEL --detect SET' wrote; one of the models folder can be removed."
    try:
        heads = [Head(int(layer), int(head)) for layer, head in json.loads(path.read_text(encoding="utf-8"))["heads"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no list of heads.", hint) from error
    if not heads:
        raise InputError(f"{path} holds no list of heads.", hint)
    return heads


def _entry(name: str) -> CatalogueEntry | None:
    try:
        return load_catalogue().find(name)
    except InputError:
        return None
