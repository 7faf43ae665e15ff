"""Keeps the end of a text."""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Scorer


class Recent(Scorer):
    """The later, the higher."""

    name = "recent"

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Places in the text."""
        places = torch.arange(self.reading.longest, device=keys.device, dtype=torch.float32)
        return places.expand(*keys.shape[:2], -1)
