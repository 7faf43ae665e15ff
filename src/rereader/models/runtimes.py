"""Which program runs a model's weights: llama.cpp on CPUs where it can, transformers everywhere."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

from rereader.models.gguf_parts import has_llamacpp
from rereader.schema.errors import InputError, MissingExtra

Runtime = Literal["auto", "llamacpp", "transformers"]
Chosen = Literal["llamacpp", "transformers"]
MARK = " (llama.cpp)"
"""Follows the name of a model that llama.cpp runs, so that a stored run is resumed with the same program."""
ROLES = ("reader", "gister")
"""Roles that llama.cpp may fill; a scorer asks for what it does slowly or not at all."""
_BY_ITSELF = ("reader",)
"""Roles that ``auto`` gives to llama.cpp: it reads prompts one by one, and a gister has many; transformers batches them
and shares the gister's weights with the scorer."""
_MARKED = re.compile(r"(?P<name>.*\S)\s*\((?P<mark>llama\.cpp|llamacpp|transformers)\)")


def split_mark(name: str) -> tuple[str, Runtime]:
    """A model's name without its mark, and the runtime that the mark asks for."""
    found = _MARKED.fullmatch(name.strip())
    if found is None:
        return name, "auto"
    return found["name"], "transformers" if found["mark"] == "transformers" else "llamacpp"


def marked(name: str, runtime: Chosen) -> str:
    """The name that a run shows and keeps."""
    plain = split_mark(name)[0]
    return plain + MARK if runtime == "llamacpp" else plain


def choose_runtime(role: str, name: str, gguf: Path | None, runtime: Runtime, device: str) -> Chosen:
    """The program for one role.

    Args:
        role: The role.
        name: The model's name, perhaps with a mark, which goes before ``runtime``.
        gguf: Its GGUF file, if it has one.
        runtime: What the user asked for.
        device: A torch device or ``auto``.

    Raises:
        InputError: If llama.cpp was asked for and cannot run the model.
        MissingExtra: If it was asked for and is not installed.
    """
    plain, asked = split_mark(name)
    if runtime not in get_args(Runtime):
        raise InputError(f"There is no runtime {runtime!r}.", f"Use {', '.join(get_args(Runtime))}.")
    if role not in ROLES:
        if asked == "llamacpp":
            msg = f"llama.cpp cannot be the {role}'s runtime: {', '.join(ROLES)} only."
            raise InputError(msg, f"Name {plain} without a mark; transformers runs it.")
        return "transformers"
    wanted = runtime if asked == "auto" else asked
    if wanted == "llamacpp":
        _check(role, plain, gguf, device)
    elif wanted == "auto":
        able = gguf is not None and has_llamacpp() and on_cpu(device)
        wanted = "llamacpp" if able and role in _BY_ITSELF else "transformers"
    return wanted


def on_cpu(device: str) -> bool:
    """Whether a torch device, or ``auto``, means the CPU; imports torch only where its build could know a GPU."""
    if device != "auto":
        return device == "cpu"
    try:
        if version("torch").endswith("+cpu"):
            return True
    except PackageNotFoundError:
        return True
    import torch

    return not torch.cuda.is_available()


def _check(role: str, name: str, gguf: Path | None, device: str) -> None:
    if not has_llamacpp():
        raise MissingExtra("The llama.cpp runtime", "llamacpp")
    other = "or use --runtime transformers"
    if gguf is None:
        msg = f"llama.cpp cannot run the {role} {name}: there is no GGUF file of it."
        raise InputError(msg, f"Run 'rereader models pull {name}' if it is in the catalogue, {other}.")
    if device not in ("auto", "cpu"):
        msg = f"llama.cpp runs on the CPU here, not on {device}."
        raise InputError(msg, f"Use the device cpu, {other}.")
