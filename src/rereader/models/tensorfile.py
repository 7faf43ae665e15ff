"""Tensors in a file that is written all or nothing, memory-mapped when read, and checked to the last byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rereader.models.files import writing
from rereader.models.kvmemory import UnusableBlock

_CHECKSUM = "checksum"


def write(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str], *, for_all: bool = True
) -> None:
    """Store tensors of the CPU as safetensors, with a checksum over them and the metadata.

    What was made from a user's text is not ``for_all``: its owner alone may read it.

    Raises:
        OSError: If the file cannot be written.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        with writing(path, for_all=for_all) as beside:
            save_file(whole, beside, metadata={**metadata, _CHECKSUM: _checksum(whole, metadata)})
    except SafetensorError as error:  # a full disk, for instance
        raise OSError(str(error)) from error


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a file, read once for its checksum.

    The tensors lie in the file: the system takes their memory back when it needs it, and reads them again.

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
