"""Tensors in a file that is written all or nothing, memory-mapped when read, and checked to the last byte."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rereader.models.kvmemory import UnusableBlock

_CHECKSUM = "checksum"


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Store tensors of the CPU as safetensors, with a checksum over them and the metadata.

    Raises:
        OSError: If the file cannot be written.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{uuid.uuid4().hex[:8]}.part")
    try:
        save_file(whole, beside, metadata={**metadata, _CHECKSUM: _checksum(whole, metadata)})
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except SafetensorError as error:  # a full disk, for instance
        raise OSError(str(error)) from error
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a file; the tensors lie in it, so they take memory only where they are looked at.

    Raises:
        FileNotFoundError: If there is none.
        UnusableBlock: If it is damaged.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise UnusableBlock("it is damaged") from error
    if metadata.pop(_CHECKSUM, None) != _checksum(tensors, metadata):
        raise UnusableBlock("it is damaged: its checksum is another one")
    return tensors, metadata


def _checksum(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
