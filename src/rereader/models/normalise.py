"""Scores of options as log-probabilities."""

from __future__ import annotations

import numpy as np

from rereader.models.base import Float32Array


def log_normalise(scores: Float32Array, null: Float32Array | None) -> Float32Array:
    """Subtract the null prompt's scores [k] from each row of ``scores`` [n, k], then log-normalise the rows."""
    shifted = scores.astype(np.float64) - (0.0 if null is None else null.astype(np.float64))
    top = shifted.max(axis=1, keepdims=True)
    normal: Float32Array = (shifted - top - np.log(np.exp(shifted - top).sum(axis=1, keepdims=True))).astype(np.float32)
    return normal
