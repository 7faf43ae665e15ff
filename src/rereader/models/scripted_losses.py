"""Losses that a script can have: a word is likely after the word that it followed before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rereader.models.base import Float32Array

_UNSEEN = 0.1
_VOCABULARY = 1000
_FOLLOWS = 0.5
"""Share of the probability that is what followed the last token before; the rest is how often a token occurs."""


def repetition_losses(ids: Sequence[int], length: int) -> Float32Array:
    """Loss of each token after the ``length`` tokens before it (fewer at the beginning): float32 [tokens].

    Half of a token's probability is the share of times that it followed its predecessor within the context, half is how
    often it occurs there. The first token has no context and no loss.
    """
    losses = np.zeros(len(ids), dtype=np.float32)
    seen: Counter[int] = Counter(ids[:1])
    pairs: Counter[tuple[int, int]] = Counter()
    leading: Counter[int] = Counter()
    for at in range(1, len(ids)):
        last, token = ids[at - 1], ids[at]
        followed = pairs[last, token] / leading[last] if leading[last] else 0.0
        often = (seen[token] + _UNSEEN) / (min(at, length) + _UNSEEN * _VOCABULARY)
        losses[at] = -math.log(_FOLLOWS * followed + (1 - _FOLLOWS) * often)
        seen[token] += 1
        pairs[last, token] += 1
        leading[last] += 1
        if at >= length:  # the oldest token leaves the context
            old, after = ids[at - length], ids[at - length + 1]
            seen[old] -= 1
            pairs[old, after] -= 1
            leading[old] -= 1
    return losses
