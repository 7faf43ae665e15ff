"""What each query may see where positions do not follow from places: beside and after compressed texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rereader.models.kv import BY_PLACE, UNUSED


@dataclass(frozen=True)
class Visible:
    """Where the keys of a batch stand, for the layers that cannot tell by the place.

    Args:
        marks: Each layer's marks, see :mod:`rereader.models.kv`; ``None`` where places tell all.
        pads: Unused places on the left of each row: int64 [rows].
        shifts: Positions that each row's tokens stand further on than their places: int64 [rows].
        queries: Positions of the queries: int64 [rows, queries].
    """

    marks: Sequence[torch.Tensor | None]
    pads: torch.Tensor
    shifts: torch.Tensor
    queries: torch.Tensor

    def mask(self, layer: int, places: int, heads: int, window: int | None) -> torch.Tensor | None:
        """Which keys each query sees.

        Args:
            layer: Number of the layer.
            places: Places of the keys, the queries' own included.
            heads: Query heads.
            window: Positions that the layer looks back, its own included; ``None`` for all.

        Returns:
            Boolean [rows, heads, queries, places]; ``None`` if the layer has no marks.
        """
        marks = self.marks[layer] if layer < len(self.marks) else None
        if marks is None:
            return None
        keys = self._positions(marks, places)[:, :, None]
        queries = self.queries[:, None, :, None]
        seen = (keys != UNUSED) & (keys <= queries)
        if window is not None:
            seen &= keys > queries - window
        return seen.repeat_interleave(heads // seen.shape[1], 1)

    def _positions(self, marks: torch.Tensor, places: int) -> torch.Tensor:
        """Position of each head's keys, int64 [rows, key heads, places]; ``UNUSED`` where there is none."""
        place = torch.arange(places, device=marks.device)[None]
        plain = place - self.pads[:, None] + self.shifts[:, None]
        plain = plain.masked_fill(place < self.pads[:, None], UNUSED)
        positions = plain[:, None].repeat(1, marks.shape[1], 1)
        marked = positions[..., : marks.shape[-1]]
        marked.copy_(torch.where(marks == BY_PLACE, marked, marks.long()))
        return positions
