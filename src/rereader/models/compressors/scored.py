"""Compressors that keep the tokens with the highest scores, and what gives the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rereader.models import kv
from rereader.models.compressors.base import Compressor, Ids
from rereader.models.compressors.budgets import choose_kept
from rereader.models.engine import Engine
from rereader.models.kvblock import LayerStates
from rereader.models.kvmemory import Compression
from rereader.models.rotation import Rotation
from rereader.schema.events import Cancelled


@dataclass(frozen=True)
class Reading:
    """A batch of texts that are read after the same opening.

    Args:
        opening: Tokens before each text.
        texts: Tokens of each text; shorter ones are padded on the right.
        rotation: The model's.
    """

    opening: int
    texts: tuple[Ids, ...]
    rotation: Rotation

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return max(map(len, self.texts))


class Scorer(ABC):
    """Scores the tokens of one batch of texts: the higher, the sooner a token is kept.

    Args:
        reading: The texts.
    """

    name = ""
    watches = False
    """Whether it must see the queries while the texts are read."""
    repeats = False
    """Whether it must see the queries of the texts read once more after themselves; they all have one length then."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def see(  # noqa: B027 - most scorers need not look
        self, layer: int, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None
    ) -> None:
        """Look at queries of the texts; see :class:`~rereader.models.chunked.Watch`."""

    @abstractmethod
    def scores(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Scores of one layer; called once for each when everything was read.

        Args:
            layer: Its number.
            keys: Rotated keys of the opening and the texts: [rows, key heads, opening and longest text, size].
            values: Likewise.

        Returns:
            float [rows, key heads, longest text]; what stands beyond a shorter text does not count.
        """


def seen_keys(queries: int, keys: int, first: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Which keys queries from place ``first`` on see: boolean [queries, keys]."""
    seen = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(first)
    return seen if window is None else seen.triu(first - window + 1)


class ScoredCompressor(Compressor):
    """Keeps what a scorer of some kind scores highest.

    Args:
        kind: Makes a scorer for each batch.
    """

    def __init__(self, kind: type[Scorer]) -> None:
        self.identity = kind.name
        self.alike = kind.repeats
        self._kind = kind

    def tokens_read(self, opening: int, text: int, repeat: int) -> int:
        """Tokens that go through the model; see :class:`Compressor`."""
        return opening + text + (repeat + text if self._kind.repeats else 0)

    def states(
        self, engine: Engine, opening: Ids, texts: Sequence[Ids], repeat: Ids, how: Compression, cancelled: Cancelled
    ) -> list[list[LayerStates]]:
        """What is kept of each text; see :class:`Compressor`."""
        rotation = engine.recaller.rotation
        scorer = self._kind(Reading(len(opening), tuple(texts), rotation))
        cache = engine.read_texts(opening, texts, cancelled, scorer if scorer.watches else None)
        if scorer.repeats:
            again = torch.tensor([(*repeat, *text) for text in texts])
            engine.read_on(cache, again, cancelled, scorer)
            kv.rewind(cache, len(opening) + scorer.reading.longest)
        found: list[list[LayerStates]] = [[] for _ in texts]
        for layer, (keys, values) in enumerate(kv.pairs(cache)):
            scores = scorer.scores(layer, keys, values).float()
            for row, text in enumerate(texts):
                end = len(opening) + len(text)
                kept = choose_kept(scores[row, :, : len(text)], self.kept(len(text), how.ratio), how.budgets)
                whole = keys[row, :, len(opening) : end], values[row, :, len(opening) : end]
                found[row].append(_kept_states(rotation, layer, len(opening), *whole, kept))
        return found


def _kept_states(
    rotation: Rotation, layer: int, start: int, keys: torch.Tensor, values: torch.Tensor, kept: torch.Tensor
) -> LayerStates:
    """Copies of the kept tokens' states [heads, fullest head, size]."""
    places = torch.arange(kept.shape[1], device=kept.device)
    slots = int(kept.sum(-1).max())
    # Tokens that are kept come first, in their order; the others are marked.
    order = torch.where(kept, places, places + kept.shape[1]).argsort(-1)[:, :slots]
    offsets = order.masked_fill(~kept.gather(1, order), -1)
    wide = order[..., None].expand(-1, -1, keys.shape[-1])
    return LayerStates(rotation.unrotate(keys.gather(1, wide), start + order, layer), values.gather(1, wide), offsets)
