"""A trained compressor's folder: ``memory_tokens.safetensors``, and ``manifest.json``, which tells people about it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rereader.models import tensorfile
from rereader.models.files import writing
from rereader.models.kvmemory import MEMORY_TOKENS_FILE, UnusableBlock
from rereader.models.memory_passes import LAYOUTS, Layout
from rereader.models.memory_tokens import STARTS, MemoryTokens, Start
from rereader.schema.errors import InputError

MANIFEST = "manifest.json"
_FORMAT = "1"
_SAMPLES = 4096
"""Numbers of each weight matrix that identify a model, about."""


@dataclass(frozen=True)
class CompressorManifest:
    """What a trained compressor is.

    Args:
        base: Identifies the weights of the model that it belongs to; see :func:`base_identity`.
        base_name: That model's name.
        end: The token that ends a text.
        rank: Rank of its projections; 0 for whole matrices.
        start: What a memory token is before training.
        layout: How memory tokens stand to the text.
        window: Most tokens of a text that are read at once.
        ratios: Ratios that it was trained with.
        data: sha256 of the texts that it was trained with.
        made: Settings, commit, versions and measurements: JSON-plain.
    """

    base: str
    base_name: str
    end: int
    rank: int = 0
    start: Start = "token"
    layout: Layout = "beside"
    window: int = 256
    ratios: tuple[float, ...] = (2, 4, 8, 16)
    data: str = ""
    made: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CompressorManifest:
        """The manifest that was written.

        Raises:
            ValueError: If it is none.
        """
        values = json.loads(text)
        try:
            manifest = cls(**{**values, "ratios": tuple(values["ratios"])})
        except (TypeError, KeyError) as error:
            raise ValueError(str(error)) from error
        if manifest.layout not in LAYOUTS or manifest.start not in STARTS or manifest.window < 1 or not manifest.ratios:
            raise ValueError("its settings are out of range")
        return manifest


def base_identity(model: Any) -> str:
    """Identifies the weights of a model, in float32 or bfloat16, on any device: sha256.

    Over names and shapes of all parameters, and numbers spread evenly over each.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, len(flat) // _SAMPLES)].to(torch.bfloat16).cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tokens(folder: Path, tokens: MemoryTokens, manifest: CompressorManifest) -> None:
    """Write a compressor; a reader sees the old one or the new one.

    Raises:
        OSError: If the folder cannot be written.
    """
    text = json.dumps(asdict(manifest), ensure_ascii=False, indent=2)
    tensors = {name: tensor.detach().cpu() for name, tensor in tokens.state_dict().items()}
    tensorfile.write(folder / MEMORY_TOKENS_FILE, tensors, {"format": _FORMAT, "manifest": text})
    with writing(folder / MANIFEST) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # the new names too, or a power cut may bring the old ones back
    finally:
        os.close(handle)


def load_tensors(folder: Path) -> tuple[dict[str, torch.Tensor], CompressorManifest]:
    """Tensors of a compressor, which lie in the file, and its manifest.

    Raises:
        InputError: If there is none, or it is damaged.
    """
    try:
        tensors, metadata = tensorfile.read(folder / MEMORY_TOKENS_FILE)
        if metadata.get("format") != _FORMAT:
            raise UnusableBlock("it is of another version")
        return tensors, CompressorManifest.parse(metadata["manifest"])
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"There is no trained compressor in {folder}."
        raise InputError(msg, "Name the folder that 'rereader train compressor --out' wrote.") from error
    except (UnusableBlock, ValueError, KeyError) as error:
        msg = f"The compressor in {folder} cannot be used: {error}."
        raise InputError(msg, "Train it again, or copy it again from where it came.") from error


def restore_tokens(model: Any, tensors: dict[str, torch.Tensor], manifest: CompressorManifest) -> MemoryTokens:
    """The trained part, on a model's device.

    Raises:
        InputError: If it was trained with another model.
        ModelError: If the model cannot have memory tokens.
    """
    if base_identity(model) != manifest.base:
        msg = f"The compressor was trained with other weights, those of {manifest.base_name}."
        raise InputError(msg, "Use that model in float32 or bfloat16, or train a compressor for this one.")
    tokens = MemoryTokens(model, manifest.rank, manifest.start, manifest.end)
    tokens.load_state_dict(tensors)
    return tokens.to(model.device).requires_grad_(False)
