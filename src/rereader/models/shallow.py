"""Ends a forward pass once it has come deep enough: what lies above is not asked for."""

from __future__ import annotations

from typing import Any

import torch

from rereader.models import kv
from rereader.models.chunked import is_chunked


class Enough(Exception):
    """The pass has come as deep as is wanted."""


class UpTo:
    """Ends a pass at a layer whose keys are kept by then; its attention is not worked out.

    Args:
        deepest: Number of the layer.
    """

    def __init__(self, deepest: int) -> None:
        self._deepest = deepest

    def see(self, layer: int, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None) -> None:
        """End the pass if this is the layer; see :class:`~rereader.models.chunked.Watch`.

        Raises:
            Enough: If it is.
        """
        if layer == self._deepest:
            raise Enough


def depth(model: Any, deepest: int | None) -> int | None:
    """How deep a text is read for the attention of a layer: as deep as that, if the model can be stopped there."""
    return deepest if is_chunked(model) else None


def layers(model: Any, deepest: int | None) -> int:
    """How many layers keep keys of a text that is read so deep; ``None`` is through all of them."""
    every = kv.shape(model.config)[0]
    return every if deepest is None else min(every, deepest + 1)
