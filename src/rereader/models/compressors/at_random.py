"""Keeps tokens at random, the same in every head: what any choice must beat."""

from __future__ import annotations

import torch

from rereader.models.compressors.base import Ids
from rereader.models.compressors.scored import Scorer
from rereader.models.seeds import prompt_seed


class AtRandom(Scorer):
    """Random numbers that depend on the text alone."""

    name = "random"

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Numbers in [0, 1)."""
        rows = torch.stack([self._row(text) for text in self.reading.texts]).to(keys.device)
        return rows[:, None].expand(-1, keys.shape[1], -1)

    def _row(self, text: Ids) -> torch.Tensor:
        generator = torch.Generator().manual_seed(prompt_seed(0, text))
        drawn = torch.rand(len(text), generator=generator)
        return torch.nn.functional.pad(drawn, (0, self.reading.longest - len(text)))
