"""Takes keys out of the rotation by which a model marks positions, and rotates them to other positions.

Rotary embeddings (arXiv 2104.09864) turn pairs of a key's numbers by angles that grow with its position. A turn is
undone exactly, so keys that were made at one position can be read at any other. Half of a key's numbers are paired with
the other half; scaled variants (YaRN, arXiv 2309.00071) also stretch the key, which is undone with the turn.
"""

from __future__ import annotations

from typing import Any

import torch

from rereader.schema.errors import ModelError

FAMILIES = ("llama", "qwen2", "qwen3", "gemma3_text")
_FIXED = {"default", "linear", "yarn", "llama3"}
"""Kinds of scaling whose angles do not depend on the length of the text."""
_STEP = 1024
"""Positions by which the table of angles grows at least."""


class Rotation:
    """The rotary embedding of one model.

    Args:
        model: A causal language model of transformers.

    Raises:
        ModelError: If its keys cannot be taken out of their rotation.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        _check(config)
        layers = int(config.num_hidden_layers)
        self._kinds = list(config.layer_types) if config.model_type == "gemma3_text" else [None] * layers
        self._embedding = model.get_decoder().rotary_emb
        self._device = model.device
        self._tables: dict[str | None, tuple[torch.Tensor, torch.Tensor]] = {}

    def rotate(self, states: torch.Tensor, positions: torch.Tensor, layer: int) -> torch.Tensor:
        """Turn unrotated states to positions.

        Args:
            states: [..., tokens, size].
            positions: int [..., tokens], or with fewer dimensions; below 0 counts as 0. On the CPU, if they can be: on
                a device they must be waited for.
            layer: Number of the layer that they belong to.

        Returns:
            The turned states, in their precision.
        """
        cos, sin = self._angles(positions, layer)
        return _turn(states, cos, sin)

    def unrotate(self, states: torch.Tensor, positions: torch.Tensor, layer: int) -> torch.Tensor:
        """Undo :meth:`rotate`."""
        cos, sin = self._angles(positions, layer)
        size = cos.square() + sin.square()
        return _turn(states, cos / size, -sin / size)

    def average(self, states: torch.Tensor, first: int, count: int, layer: int) -> torch.Tensor:
        """The mean of unrotated states [..., tokens, size] over what they are at ``count`` positions from ``first``."""
        cos, sin = self._angles(torch.arange(first, first + count), layer)
        return _turn(states, cos.mean(0), sin.mean(0))

    def _angles(self, positions: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, float32 [..., size / 2]."""
        kind, last = self._kinds[layer], int(positions.max()) if positions.numel() else 0
        table = self._tables.get(kind)
        if table is None or len(table[0]) <= last:
            table = self._tables[kind] = self._table(kind, last + max(_STEP, last // 2))
        places = positions.clamp(min=0).to(table[0].device)
        return table[0][places], table[1][places]

    def _table(self, kind: str | None, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        wide = torch.zeros((), device=self._device)  # float32: its precision is the table's
        places = torch.arange(count, device=self._device)[None]
        options = () if kind is None else (kind,)
        cos, sin = (part[0] for part in self._embedding(wide, places, *options))
        half = cos.shape[-1] // 2
        return cos[:, :half].contiguous(), sin[:, :half].contiguous()


def _check(config: Any) -> None:
    if config.model_type not in FAMILIES:
        msg = f"Keys of a model of the family {config.model_type} cannot be moved to other positions."
        raise ModelError(msg, "Use a model of the families Llama (SmolLM2), Qwen2, Qwen3 or Gemma 3.")
    rules = _rules(config.rope_parameters)
    odd = {rule["rope_type"] for rule in rules} - _FIXED
    odd |= {"partial" for rule in rules if rule.get("partial_rotary_factor", 1.0) != 1.0}
    if odd:
        msg = f"Keys of a model with positions of the kind {sorted(odd)[0]} cannot be moved to other positions."
        raise ModelError(msg, "Use a model whose positions are scaled by a fixed rule, such as YaRN, or not at all.")


def _rules(rules: Any) -> list[Any]:
    return [rules] if "rope_type" in rules else [rule for rule in rules.values() if rule]


def _turn(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = states.float().chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(states.dtype)
