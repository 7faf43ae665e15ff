"""Keys and values of a text in a file, so that another process need not read the text again.

A safetensors file: per layer the keys and the values, in the model's precision or as int8 with one scale per token and
head. Its metadata names what it belongs to; a file that belongs to something else, or is damaged, is not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from rereader.models import kv, tensorfile
from rereader.models.base import Precision
from rereader.models.kvmemory import UnusableBlock
from rereader.models.quantising import scale_per_token, shrink

_FORMAT = "3"
_KINDS = ("keys", "values")


@dataclass(frozen=True)
class Owner:
    """What the keys and values belong to.

    Args:
        fingerprint: The model's; weights, precision and versions.
        ids: Tokens of the text, read in one go.
        layers: How many of the model's layers are kept, from the first one on.
    """

    fingerprint: str
    ids: tuple[int, ...]
    layers: int

    def metadata(self, precision: Precision) -> dict[str, str]:
        """What is written into the file."""
        text = hashlib.sha256(json.dumps(self.ids).encode()).hexdigest()
        names = {"format": _FORMAT, "model": self.fingerprint, "text": text}
        return {**names, "precision": precision, "layers": str(self.layers)}


def write(path: Path, cache: kv.RoomyCache, owner: Owner, precision: Precision = "exact") -> None:
    """Store the first places of a cache, as many as the text has tokens; all or nothing.

    Raises:
        OSError: If the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    for number, pair in enumerate(islice(kv.pairs(cache), owner.layers)):
        for kind, whole in zip(_KINDS, pair, strict=True):
            name, states = f"{number}.{kind}", whole[..., : len(owner.ids), :].cpu()
            if precision == "int8":
                tensors[f"{name}.scale"] = scale = scale_per_token(states)
                states = shrink(states, scale)
            tensors[name] = states
    tensorfile.write(path, tensors, owner.metadata(precision), for_all=False)


def read(path: Path, owner: Owner, like: Any, precision: Precision = "exact") -> kv.RoomyCache:
    """The cache that was stored; the file is memory-mapped and copied once, into memory with room to go on.

    Args:
        path: The file.
        owner: What it must belong to.
        like: The model: its device and precision.
        precision: How it must be stored.

    Raises:
        FileNotFoundError: If there is none.
        UnusableBlock: If it is damaged or belongs to something else.
    """
    tensors, metadata = tensorfile.read(path)
    if metadata != owner.metadata(precision):
        raise UnusableBlock("it belongs to another text, model or version")
    _, heads, _ = kv.shape(like.config)
    cache = kv.empty_cache()
    for number in range(owner.layers):
        pair = [_states(tensors, f"{number}.{kind}", precision) for kind in _KINDS]
        if any(states.shape[:3] != (1, heads, len(owner.ids)) for states in pair):
            raise UnusableBlock("it has another shape than the model's")
        keys, values = (states.to(device=like.device, dtype=like.dtype) for states in pair)
        cache.update(keys, values, number)
    return cache


def file_bytes(config: Any, dtype: torch.dtype, tokens: int, precision: Precision, layers: int) -> int:
    """Bytes that a text of so many tokens takes in so many layers."""
    every, heads, _ = kv.shape(config)
    kept = kv.bytes_per_token(config, dtype if precision == "exact" else torch.int8) // every
    scales = 0 if precision == "exact" else 2 * heads * torch.float32.itemsize
    return tokens * layers * (kept + scales)


def _states(tensors: Mapping[str, torch.Tensor], name: str, precision: Precision) -> torch.Tensor:
    states = tensors[name]
    return states if precision == "exact" else states.float() * tensors[f"{name}.scale"]
