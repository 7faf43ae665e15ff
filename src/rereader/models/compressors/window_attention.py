"""Keeps what the end of a text looks at (SnapKV, arXiv 2404.14469, section 4)."""

from __future__ import annotations

import torch

from rereader.models.compressors.scored import Reading, Scorer, seen_keys

WINDOW = 32
"""Most tokens of the window; a short text has a thirty-second of its tokens, but at least four."""
POOL = 7
"""Neighbouring tokens that share the highest score among them, so that what belongs together is kept together."""


class WindowAttention(Scorer):
    """Attention of the last tokens, which are kept themselves."""

    name = "window-attention"
    watches = True

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._sizes = [min(len(text), WINDOW, max(4, len(text) // 32)) for text in reading.texts]
        self._queries: dict[int, list[list[torch.Tensor]]] = {}
        self._back: dict[int, int | None] = {}
        self._scale = 1.0

    def see(self, layer: int, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None) -> None:
        """Keep the queries of each text's window."""
        self._scale, self._back[layer] = scale, window
        rows = self._queries.setdefault(layer, [[] for _ in self.reading.texts])
        first = key.shape[2] - query.shape[2] - self.reading.opening
        for row, (text, size) in enumerate(zip(self.reading.texts, self._sizes, strict=True)):
            start, end = max(0, len(text) - size - first), len(text) - first
            if end > start and start < query.shape[2]:
                rows[row].append(query[row, :, start:end].clone())

    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Mean attention of the window, pooled."""
        found = keys.new_full((*keys.shape[:2], self.reading.longest), -torch.inf, dtype=torch.float32)
        rows, back = self._queries.pop(layer), self._back[layer]
        for row, text in enumerate(self.reading.texts):
            seen = keys[row, :, : self.reading.opening + len(text)]
            found[row, :, : len(text)] = self._row(torch.cat(rows[row], 1), seen, back)
        return found

    def _row(self, queries: torch.Tensor, keys: torch.Tensor, back: int | None) -> torch.Tensor:
        """Scores [key heads, text] from the window's queries [heads, window, size] and keys [key heads, all, size]."""
        size = queries.shape[1]
        folded = queries.float().reshape(len(keys), -1, *queries.shape[1:])
        products = folded @ keys.float()[:, None].transpose(-1, -2) * self._scale
        seen = seen_keys(products.shape[-2], products.shape[-1], keys.shape[1] - size, back, keys.device)
        rows = products.masked_fill(~seen, -torch.inf).softmax(-1)
        mean = rows.mean((1, 2))[:, self.reading.opening :]
        pooled = torch.nn.functional.max_pool1d(mean[:, None], POOL, 1, POOL // 2)[:, 0]
        # Above all others; if there is no room for all of them, the last ones stay.
        pooled[:, -size:] = pooled.max() + 1 + torch.arange(size, device=keys.device)
        return pooled
