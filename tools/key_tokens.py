"""Tokens that rest on something far back: likely after a long context, unlikely after a short one.

The key tokens of ARL (arXiv 2601.13734); the floors and distances are ours, since ratios alone favour rare and noisy
tokens, and the paper's numbers are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KeyRule:
    """Which tokens are key tokens.

    Args:
        share: Share of all tokens that are looked at, by gap.
        gap: Least difference of the losses, in nats.
        probability: Least probability after the long context.
        apart: Least distance of two key tokens, in tokens.
        stretch: Tokens of a stretch of text that holds at most one.
    """

    share: float = 0.01
    gap: float = 2.0
    probability: float = 0.1
    apart: int = 512
    stretch: int = 2048


def key_tokens(
    long: NDArray[np.float32],
    short: NDArray[np.float32],
    counts: Callable[[int], bool],
    rule: KeyRule = KeyRule(),
) -> list[int]:
    """Key tokens in the order of the text.

    Args:
        long: Loss of each token after a long context: float32 [tokens].
        short: The same after a short one.
        counts: Tells whether a token belongs to a word with a meaning of its own.
        rule: What makes a key token.
    """
    gap = short - long
    most = math.ceil(len(gap) * rule.share)
    chosen: list[int] = []
    for token in map(int, np.argsort(-gap, kind="stable")[:most]):
        if gap[token] <= rule.gap:
            break
        near = any(
            abs(token - other) < rule.apart or token // rule.stretch == other // rule.stretch for other in chosen
        )
        if not near and np.exp(-long[token]) > rule.probability and counts(token):
            chosen.append(token)
    return sorted(chosen)


def sentence_windows(sizes: Sequence[int], most: int = 128, stride: int = 64) -> Iterator[tuple[int, int]]:
    """Ranges of neighbouring sentences of at most ``most`` tokens, which overlap; a longer sentence stands alone.

    Args:
        sizes: Tokens of each sentence.
        most: Most tokens of a window.
        stride: Tokens after which the next window begins, or at the next sentence after that.
    """
    start = 0
    while start < len(sizes):
        end, held = start + 1, sizes[start]
        while end < len(sizes) and held + sizes[end] <= most:
            held += sizes[end]
            end += 1
        yield start, end
        if end == len(sizes):
            return
        passed = 0
        while passed < stride and start < end:
            passed += sizes[start]
            start += 1
