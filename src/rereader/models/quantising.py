"""Keys and values as int8, each with a scale of its own.

Unrotated keys have channels that are large for every token, values have not, so keys share a scale per channel and
values one per token (KIVI, arXiv 2402.02750; KVQuant, arXiv 2401.18079).
"""

from __future__ import annotations

import torch

_LARGEST = 127


def shrink(states: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Numbers as int8 multiples of a scale, which broadcasts to them."""
    return (states.float() / scale).round().clamp(-_LARGEST, _LARGEST).to(torch.int8)


def scale_per_token(states: torch.Tensor) -> torch.Tensor:
    """The scale of each token of [..., tokens, size]: float32 [..., tokens, 1]."""
    return _scale(states.float().abs().amax(-1, keepdim=True))


def scale_per_channel(states: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
    """The scale of each channel in each group of tokens.

    Args:
        states: [tokens, size].
        groups: The group of each token, int64 [tokens].
        count: Number of groups.

    Returns:
        float32 [count, size].
    """
    largest = torch.zeros(count, states.shape[-1])
    index = groups[:, None].expand_as(states)
    return _scale(largest.scatter_reduce(0, index, states.float().abs(), "amax"))


def _scale(largest: torch.Tensor) -> torch.Tensor:
    return largest.clamp(min=1e-12) / _LARGEST
