"""Keeps what later queries are expected to look at (Expected Attention, arXiv 2510.00636).

The text's own unrotated queries are taken to be drawn from a normal distribution, and later ones from the same. Turned
to the positions after the text, their mean and covariance give the expected weight of each key in closed form: the mean
of exp(q k) over a normal q is exp(mean k + k covariance k / 2). A key's weight counts as much as its value is long. In
a layer with a sliding window it counts only as often as later queries still see the key (ours).
"""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Reading, Scorer

FUTURE = 512
"""Positions after the text that later queries are expected at."""


class ExpectedAttention(Scorer):
    """Expected attention times the norm of the value."""

    name = "expected-attention"
    watches = True

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._sums: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._back: dict[int, int | None] = {}
        self._scale = 1.0

    def see(self, layer: int, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None) -> None:
        """Add up the queries, and their products with themselves."""
        self._scale, self._back[layer] = scale, window
        count, reading = query.shape[2], self.reading
        first = key.shape[2] - count
        positions = torch.arange(first, first + count)
        sizes = torch.tensor([len(text) for text in reading.texts])
        real = (positions[None] - reading.opening < sizes[:, None]).to(query.device)
        plain = reading.rotation.unrotate(query, positions, layer).double() * real[:, None, :, None]
        total, products = plain.sum(2), plain.transpose(-1, -2) @ plain
        before = self._sums.get(layer)
        self._sums[layer] = (total, products) if before is None else (before[0] + total, before[1] + products)

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Expected softmax weights of the text's keys, times the norms of the values."""
        opening = self.reading.opening
        found = keys.new_full((*keys.shape[:2], self.reading.longest), -torch.inf, dtype=torch.float32)
        total, products = self._sums.pop(layer)
        for row, text in enumerate(self.reading.texts):
            mean = total[row] / len(text)
            spread = products[row] / len(text) - mean[:, :, None] * mean[:, None]
            part = slice(opening, opening + len(text))
            weights = self._weights(layer, mean.float(), spread.float(), keys[row, :, part].float(), part.stop)
            found[row, :, : len(text)] = weights * torch.linalg.vector_norm(values[row, :, part].float(), dim=-1)
        return found

    def _weights(
        self, layer: int, mean: torch.Tensor, spread: torch.Tensor, keys: torch.Tensor, end: int
    ) -> torch.Tensor:
        """Expected weights [key heads, text], means over the query heads that share a key head.

        Args:
            layer: Number of the layer.
            mean: Mean query of each head: [heads, size].
            spread: Covariance: [heads, size, size].
            keys: [key heads, text, size].
            end: Position after the text.
        """
        turn = self.reading.rotation.average
        mean = turn(mean[:, None], end, FUTURE, layer)
        spread = turn(turn(spread, end, FUTURE, layer).transpose(1, 2), end, FUTURE, layer)
        shared = keys.repeat_interleave(len(mean) // len(keys), 0)
        linear = (shared * mean).sum(-1) * self._scale
        square = ((shared @ spread) * shared).sum(-1) * self._scale**2
        weights = (linear + square / 2).softmax(-1) * self._share(layer, keys.shape[1]).to(keys.device)
        return weights.reshape(len(keys), -1, keys.shape[1]).mean(1)

    def _share(self, layer: int, text: int) -> torch.Tensor:
        """Share of the positions after a text from which a layer still sees each of its tokens: float32 [text]."""
        back = self._back[layer]
        if back is None:
            return torch.ones(text)
        return ((torch.arange(text) - text + back) / FUTURE).clamp(0, 1)
