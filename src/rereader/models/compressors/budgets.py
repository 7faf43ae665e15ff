"""Which tokens a head keeps, given scores: as many in every head, or a layer's places shared out."""

from __future__ import annotations

import torch

from rereader.models.kvmemory import Budgets

FLOOR = 0.2
"""Share of the even budget that each head keeps at least (Ada-KV, arXiv 2407.11550, section 4)."""


def choose_kept(scores: torch.Tensor, keep: int, budgets: Budgets) -> torch.Tensor:
    """The tokens with the highest scores; of equal ones the earlier.

    Args:
        scores: float [heads, tokens].
        keep: Tokens that a head keeps on average, at most as many as there are.
        budgets: ``even``: each head keeps ``keep``. ``heads``: each keeps a fifth of that, and what is left goes to the
            highest scores of all heads.

    Returns:
        Boolean [heads, tokens], ``heads * keep`` of them true.
    """
    if budgets == "even":
        return _highest(scores, keep)
    kept = _highest(scores, max(1, int(FLOOR * keep)))
    left = scores.masked_fill(kept, -torch.inf).reshape(1, -1)
    return kept | _highest(left, keep * len(scores) - int(kept.sum())).reshape(scores.shape)


def _highest(scores: torch.Tensor, count: int) -> torch.Tensor:
    order = scores.argsort(dim=-1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, order, True)
