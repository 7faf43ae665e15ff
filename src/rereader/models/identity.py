"""Fingerprints of weights and of everything else that decides a reply."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_BLOCK = 1 << 22


def fingerprint(models: Sequence[Any], tokenizer: Any, weights: str) -> str:
    """sha256 over weights, tokenizer, chat template, precisions, device type and library versions.

    Args:
        models: The models that read and write (perhaps the same object).
        tokenizer: Their tokenizer.
        weights: Identifies the weights; hashed from the parameters when empty.
    """
    import torch
    import transformers

    parts = [
        weights or hash_parameters(models[0]),
        tokenizer_json(tokenizer),
        str(getattr(tokenizer, "chat_template", "")),
        *(str(model.dtype) for model in models),
        models[0].device.type,
        torch.__version__,
        transformers.__version__,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def tokenizer_json(tokenizer: Any) -> str:
    """The tokenizer as text: its own JSON where it has one, otherwise its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and hasattr(backend, "to_str"):
        return str(backend.to_str())
    return json.dumps(tokenizer.get_vocab(), sort_keys=True)


def hash_parameters(model: Any) -> str:
    """sha256 over names and bytes of all parameters."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 over names and contents of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
