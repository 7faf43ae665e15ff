"""Prompts that were read and are being continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rereader.models import kv


@dataclass
class Batch:
    """Prompts that were read, rows aligned at their right edge.

    Args:
        cache: Keys and values of all rows.
        pads: Unused places on the left of each row, int64 [rows] on the CPU.
        logits: Logits after each row's last token, float32 [rows, vocabulary].
    """

    cache: kv.RoomyCache
    pads: torch.Tensor
    logits: torch.Tensor

    @property
    def width(self) -> int:
        """Places in use, pads included."""
        return kv.width(self.cache)

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each row, int64 [rows] on the CPU."""
        return self.width - self.pads

    def rows(self, chosen: Sequence[int]) -> Batch:
        """A batch of some of its rows, without places that none of them uses."""
        index = torch.tensor(chosen)
        pads = self.pads[index]
        drop = int(pads.min())
        there = index.to(self.logits.device)
        return Batch(kv.select(self.cache, there, drop), pads - drop, self.logits[there])

    def joined(self, *others: Batch) -> Batch:
        """A batch of its rows and those of others."""
        batches = (self, *others)
        places = max(batch.width for batch in batches)
        pads = torch.cat([batch.pads + (places - batch.width) for batch in batches])
        cache = kv.merge(*(batch.cache for batch in batches))
        return Batch(cache, pads, torch.cat([batch.logits for batch in batches]))
