"""What runs a model's weights: llama.cpp on CPUs where it can, transformers everywhere, quantised on request."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

from rereader.models.gguf_parts import has_llamacpp
from rereader.models.quantised import is_quantised, require_quantised
from rereader.schema.errors import InputError, MissingExtra
from rereader.schema.types import Runtime

Chosen = Literal["llamacpp", "transformers", "8bit", "4bit"]
_MARKS = {"llamacpp": " (llama.cpp)", "8bit": " (8-bit)", "4bit": " (4-bit)"}
"""Follow the name of a model that is run so, for a stored run to be resumed in the same way."""
ROLES = ("reader", "gister")
"""Roles that llama.cpp may fill; a scorer asks for what it does slowly or not at all."""
_BY_ITSELF = ("reader",)
"""Roles that ``auto`` gives to llama.cpp: it reads prompts one by one, and a gister has many; transformers batches them
and shares the gister's weights with the scorer."""
_VECTORS = "embedder"
_MARKED = re.compile(r"(?P<name>.*\S)\s*\((?P<mark>llama\.cpp|llamacpp|transformers|[84]-?bit)\)")
_ASKED: dict[str, Runtime] = {"transformers": "transformers", "8bit": "8bit", "4bit": "4bit"}


def split_mark(name: str) -> tuple[str, Runtime]:
    """A model's name without its mark, and the runtime that the mark asks for."""
    found = _MARKED.fullmatch(name.strip())
    if found is None:
        return name, "auto"
    return found["name"], _ASKED.get(found["mark"].replace("-", ""), "llamacpp")


def marked(name: str, runtime: Runtime) -> str:
    """The name that a run shows and keeps."""
    return split_mark(name)[0] + _MARKS.get(runtime, "")


def choose_runtime(role: str, name: str, gguf: Path | None, runtime: Runtime, device: str) -> Chosen:
    """The program for one role.

    Args:
        role: The role.
        name: The model's name, perhaps with a mark, which goes before ``runtime``.
        gguf: Its GGUF file, if it has one.
        runtime: What the user asked for.
        device: A torch device or ``auto``.

    Raises:
        InputError: If what was asked for cannot run the model.
        MissingExtra: If it is not installed.
    """
    plain, asked = split_mark(name)
    if runtime not in get_args(Runtime):
        raise InputError(f"There is no runtime {runtime!r}.", f"Use {', '.join(get_args(Runtime))}.")
    wanted = runtime if asked == "auto" else asked
    if is_quantised(wanted) and role != _VECTORS:
        require_quantised()
        return wanted
    if role not in ROLES:
        if asked not in ("auto", "transformers"):
            msg = f"{marked(plain, asked)} cannot be the {role}."
            raise InputError(msg, f"Name {plain} without a mark; transformers runs it.")
        return "transformers"
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
