"""Loads weights in another precision than the stored one without holding both: each tensor is read, cast, let go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, GenerationConfig

from rereader.schema.errors import ModelError


def load_cast(path: Path, config: Any, dtype: torch.dtype, weights: Sequence[Path], **options: Any) -> Any:
    """The model of a folder in ``dtype``, equal to what ``AutoModelForCausalLM.from_pretrained`` gives.

    That one maps the file into memory, and the pages that were read stay there beside the cast copy until loading ends:
    half as much again for bfloat16 weights that are wanted in float32.

    Args:
        path: The folder.
        config: Its configuration.
        dtype: The precision of the model's parameters.
        weights: Its safetensors files.
        options: What ``from_pretrained`` is told besides.
    """
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        empty = auto.from_config(config)
    model, info = type(empty).from_pretrained(
        None, config=empty.config, state_dict=lazy_tensors(weights), dtype=dtype, output_loading_info=True, **options
    )
    check_whole(path, info)
    if (path / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(path, local_files_only=True)
    return model


def check_whole(path: Path, info: dict[str, Any]) -> None:
    """Refuse a checkpoint that lacks weights: transformers only logs that, and makes them up.

    Raises:
        ModelError: If tensors are missing.
    """
    if missing := sorted(info["missing_keys"]):
        msg = f"The model in {path} lacks {len(missing):,} of its tensors, for instance {missing[0]}."
        raise ModelError(msg, "Copy or download the whole model again.")


def lazy_tensors(weights: Sequence[Path]) -> dict[str, Any]:
    """The tensors of safetensors files by name; ``tensor[...]`` reads one by ordinary file reads, not by mapping."""
    files: list[Any] = [safe_open(file, framework="pt", device="cpu", backend="pread") for file in weights]
    return {name: file.get_slice(name) for file in files for name in file.keys()}  # noqa: SIM118 - not a mapping
