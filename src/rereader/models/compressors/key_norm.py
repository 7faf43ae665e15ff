"""Keeps keys with a small norm: they get the most attention (arXiv 2406.11430)."""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Scorer


class KeyNorm(Scorer):
    """The shorter the key, the higher."""

    name = "key-norm"

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Norms of the keys, negative."""
        norms: torch.Tensor = torch.linalg.vector_norm(keys[:, :, self.reading.opening :].float(), dim=-1)
        return -norms
