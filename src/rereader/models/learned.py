"""A trained compressor at work: texts to the keys and values of memory tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rereader.models.compressors.base import Compressor, Ids
from rereader.models.engine import Engine
from rereader.models.kvblock import LayerStates
from rereader.models.kvmemory import Compression
from rereader.models.memory_file import CompressorManifest, load_tensors, restore_tokens
from rereader.models.memory_passes import Memory, Passes, group_ends
from rereader.models.memory_tokens import MemoryTokens
from rereader.schema.errors import InputError
from rereader.schema.events import Cancelled


class LearnedCompressor(Compressor):
    """Reads a text window by window; of what was read before, a window sees the opening and memory tokens only.

    Args:
        tensors: The trained part.
        manifest: What it is.
    """

    alike = True

    def __init__(self, tensors: dict[str, torch.Tensor], manifest: CompressorManifest) -> None:
        settings = {key: value for key, value in asdict(manifest).items() if key != "made"}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, tensor in sorted(tensors.items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        self.identity = f"learned {digest.hexdigest()}"
        self.manifest = manifest
        self._tensors = tensors
        self._model: Any = None
        self._parts: tuple[MemoryTokens, Passes] | None = None

    @classmethod
    def load(cls, path: Path) -> LearnedCompressor:
        """From the folder that training wrote.

        Raises:
            InputError: If the folder holds none, or it is damaged.
        """
        return cls(*load_tensors(path))

    def kept(self, tokens: int, ratio: float) -> int:
        """Memory tokens of a text."""
        window = self.manifest.window
        whole, rest = divmod(tokens, window)
        return whole * len(group_ends(window, ratio)) + (len(group_ends(rest, ratio)) if rest else 0)

    def states(
        self, engine: Engine, opening: Ids, texts: Sequence[Ids], repeat: Ids, how: Compression, cancelled: Cancelled
    ) -> list[list[LayerStates]]:
        """What is kept of each text; see :class:`Compressor`.

        Raises:
            InputError: If the compressor is another model's.
        """
        tokens, passes = self._with(engine.prefill_model)
        start = passes.begin(torch.tensor([opening], device=engine.device)).rows(len(texts)) if opening else None
        ids = torch.tensor(texts, device=engine.device)
        memory = passes.compress(start, ids, tokens, self.manifest.window, how.ratio, cancelled)
        if start is not None:
            memory = memory.after(start.places, start.length)
        return [_row_states(memory, row) for row in range(len(texts))]

    def check(self, how: Compression) -> None:
        """Refuse what it was not trained for; see :class:`Compressor`."""
        ratios = self.manifest.ratios
        if not min(ratios) <= how.ratio <= max(ratios):
            msg = f"The compressor was trained for ratios from {min(ratios)} to {max(ratios)}, not {how.ratio:g}."
            raise InputError(msg, "Choose a ratio in that range.")
        if how.budgets != "even":
            raise InputError("A trained compressor keeps as much in every head.", "Use even budgets.")

    def _with(self, model: Any) -> tuple[MemoryTokens, Passes]:
        """The trained part for a model, made at the first use."""
        if self._parts is None or self._model is not model:
            tokens = restore_tokens(model, self._tensors, self.manifest)
            passes = Passes(model, self.manifest.layout)
            self._model, self._parts = model, (tokens, passes)
        return self._parts


def _row_states(memory: Memory, row: int) -> list[LayerStates]:
    found = []
    for keys, values in memory.layers:
        offsets = memory.offsets.expand(keys.shape[1], -1)
        found.append(LayerStates(keys[row].contiguous(), values[row].contiguous(), offsets))
    return found
