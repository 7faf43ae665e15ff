"""Keeps everything: what reading the text would give. Its ratio is 1, whatever is asked for."""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Scorer


class KeepAll(Scorer):
    """Every token counts the same."""

    name = "none"

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return keys.new_zeros(*keys.shape[:2], self.reading.longest)
