"""Compressed texts as keys and values of a cache: rotated to where they are read, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from rereader.models import kv
from rereader.models.kvblock import KVBlock
from rereader.models.recalled import Recalled
from rereader.models.rotation import Rotation
from rereader.schema.errors import InputError, ModelError


def fit_memory(memory: Recalled, others: int, model: str, window: int, name: str) -> Recalled:
    """The blocks as they are read: as far apart as their texts were if that fits the window, else close together.

    Args:
        memory: The blocks.
        others: Tokens of the prompt and the reply besides the blocks.
        model: Fingerprint of the model that reads them.
        window: Most positions.
        name: The model's name.

    Raises:
        InputError: If another model made a block.
    """
    blocks = memory.blocks
    if any(not isinstance(block, KVBlock) or block.model != model for block in blocks):
        msg = f"A compressed text that another model made cannot be read by {name}."
        raise InputError(msg, "Compress the text with this model, precision and version, or read the text itself.")
    spaced = others + sum(block.length for block in blocks) <= window
    return Recalled.of_blocks(memory.start, blocks, spaced)


class Recaller:
    """Puts blocks into caches of one model.

    Args:
        model: A causal language model of transformers.

    Raises:
        ModelError: If keys of its family cannot be moved.
    """

    def __init__(self, model: Any) -> None:
        self.rotation = Rotation(model)
        self._config = model.config.get_text_config()
        self._like = {"device": model.device, "dtype": model.dtype}

    def put(self, cache: kv.RoomyCache, memory: Recalled) -> None:
        """Put blocks after the ``memory.start`` tokens that a cache of one row has."""
        for layer in range(self._config.num_hidden_layers):
            parts = [self._part(block, layer, start, memory.spaced) for block, start in self._starts(memory)]
            keys, values, positions = (torch.cat(column, 1) for column in zip(*parts, strict=True))
            kv.append(cache, layer, keys, values, self._marks(layer, positions, memory))
        cache.shifts = torch.tensor([memory.shift]) if memory.shift else None

    def _starts(self, memory: Recalled) -> Iterator[tuple[KVBlock, int]]:
        """Each block with the position of its first token."""
        at = memory.start
        for block in memory.blocks:
            if not isinstance(block, KVBlock):
                raise ModelError("A compressed text of another kind cannot be read.", "Compress it with this model.")
            yield block, at
            at += block.length if memory.spaced else block.places

    def _part(
        self, block: KVBlock, layer: int, start: int, spaced: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rotated keys and values [heads, places, size] of a block, and their positions, int64 [heads, places]."""
        keys, values, offsets = block.layer(layer)
        # Positions stay on the CPU: what is decided by them would have to wait for a device.
        slots = torch.arange(offsets.shape[1])
        positions = (start + (offsets.long() if spaced else slots)).masked_fill(offsets < 0, kv.UNUSED)
        keys = self.rotation.rotate(keys.to(self._like["device"]).float(), positions, layer)
        return keys.to(self._like["dtype"]), values.to(**self._like), positions

    def _marks(self, layer: int, positions: torch.Tensor, memory: Recalled) -> torch.Tensor | None:
        """Positions of the opening and the blocks, int32 [heads, places], if the layer cannot do without."""
        if not bool((positions == kv.UNUSED).any()):
            places = torch.arange(memory.start, memory.start + positions.shape[1])
            if not self._is_sliding(layer) or (not memory.shift and bool((positions == places).all())):
                return None
        before = torch.arange(memory.start).expand(len(positions), -1)
        return torch.cat((before, positions), 1).int().to(self._like["device"])

    def _is_sliding(self, layer: int) -> bool:
        kinds: list[str] = getattr(self._config, "layer_types", None) or []
        return bool(kinds) and kinds[layer] == "sliding_attention"
