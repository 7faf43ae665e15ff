"""Keeps what is looked at when the text is repeated (KVzip, arXiv 2505.23416, section 3)."""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Reading, Scorer, seen_keys

BLOCK = 256
"""Queries that are looked at in one go."""


class Reconstruction(Scorer):
    """The highest attention that a token gets from any token of the repeated text."""

    name = "reconstruction"
    repeats = True

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._highest: dict[int, torch.Tensor] = {}

    def see(self, layer: int, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None) -> None:
        """Raise the scores to what these queries look at; those of the request to repeat count as well."""
        found = torch.stack([self._row(*row, scale, window) for row in zip(query, key, strict=True)])
        before = self._highest.get(layer)
        self._highest[layer] = found if before is None else torch.maximum(before, found)

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """The highest attention."""
        return self._highest.pop(layer)

    def _row(self, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None) -> torch.Tensor:
        """Highest attention [key heads, text] of queries [heads, queries, size] to keys [key heads, all, size]."""
        text = slice(self.reading.opening, self.reading.opening + self.reading.longest)
        found = key.new_zeros(len(key), self.reading.longest, dtype=torch.float32)
        first = key.shape[1] - query.shape[1]
        for start in range(0, query.shape[1], BLOCK):
            part = query[:, start : start + BLOCK].float()
            folded = part.reshape(len(key), -1, *part.shape[1:])
            products = folded @ key[:, None].float().transpose(-1, -2) * scale
            seen = seen_keys(products.shape[-2], products.shape[-1], first + start, window, key.device)
            rows = products.masked_fill_(~seen, -torch.inf).softmax(-1)
            found = torch.maximum(found, rows[..., text].amax((1, 2)))
        return found
