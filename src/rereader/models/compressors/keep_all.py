"""Keeps everything: what reading the text would give."""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Scorer


class KeepAll(Scorer):
    """Every token counts the same."""

    name = "none"
    keeps_all = True

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return keys.new_zeros(*keys.shape[:2], self.reading.longest)
