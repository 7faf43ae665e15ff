"""Keys and values of a text in a file, so that another process need not read the text again.

A safetensors file: per layer the keys and the values, in the model's precision or as int8 with one scale per token and
head. Its metadata names what it belongs to; a file that belongs to something else, or was cut off, is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers.cache_utils import Cache

from rereader.models import kv
from rereader.models.base import Precision

_FORMAT = "1"
_LARGEST = 127


class Unusable(Exception):
    """A file that cannot be used; the text says why."""


@dataclass(frozen=True)
class Owner:
    """What the keys and values belong to.

    Args:
        fingerprint: The model's; weights, precision and versions.
        ids: Tokens of the text, read in one go.
    """

    fingerprint: str
    ids: tuple[int, ...]

    def metadata(self, precision: Precision) -> dict[str, str]:
        """What is written into the file."""
        text = hashlib.sha256(json.dumps(self.ids).encode()).hexdigest()
        return {"format": _FORMAT, "model": self.fingerprint, "text": text, "precision": precision}


def write(path: Path, cache: Cache, owner: Owner, precision: Precision = "exact") -> None:
    """Store the first places of a cache, as many as the text has tokens; all or nothing.

    Raises:
        OSError: If the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, whole in kv.states(cache):
        states = whole[..., : len(owner.ids), :].cpu()
        if precision == "exact":
            tensors[name] = states.contiguous()
        else:
            tensors[name], tensors[f"{name}.scale"] = _small(states)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.part")
    try:
        save_file(tensors, beside, metadata=owner.metadata(precision))
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path, owner: Owner, like: Any, precision: Precision = "exact") -> Cache:
    """The cache that was stored; the file is memory-mapped and copied once, into memory with room to go on.

    Args:
        path: The file.
        owner: What it must belong to.
        like: The model: its device and precision.
        precision: How it must be stored.

    Raises:
        FileNotFoundError: If there is none.
        Unusable: If it is damaged or belongs to something else.
    """
    shapes = kv_shape(like.config)
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            if file.metadata() != owner.metadata(precision):
                raise Unusable("it belongs to another text, model or version")
            cache = kv.empty_cache()
            for number in range(shapes[0]):
                pair = [_states(file, f"{number}.{kind}", precision) for kind in ("keys", "values")]
                if any(states.shape[:3] != (1, shapes[1], len(owner.ids)) for states in pair):
                    raise Unusable("it has another shape than the model's")
                keys, values = (states.to(device=like.device, dtype=like.dtype) for states in pair)
                cache.update(keys, values, number)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise Unusable("it is damaged") from error
    return cache


def file_bytes(config: Any, dtype: torch.dtype, tokens: int, precision: Precision = "exact") -> int:
    """Bytes that a text of so many tokens takes."""
    if precision == "exact":
        return tokens * kv.bytes_per_token(config, dtype)
    layers, heads = kv_shape(config)
    return tokens * (kv.bytes_per_token(config, torch.int8) + 2 * layers * heads * torch.float32.itemsize)


def kv_shape(config: Any) -> tuple[int, int]:
    """Layers, and key heads of each."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return int(text.num_hidden_layers), int(heads)


def _small(states: torch.Tensor) -> Sequence[torch.Tensor]:
    wide = states.float()
    scale = wide.abs().amax(-1, keepdim=True).clamp(min=1e-12) / _LARGEST
    return (wide / scale).round().to(torch.int8), scale


def _states(file: Any, name: str, precision: Precision) -> torch.Tensor:
    states: torch.Tensor = file.get_tensor(name)
    return states if precision == "exact" else states.float() * file.get_tensor(f"{name}.scale")
