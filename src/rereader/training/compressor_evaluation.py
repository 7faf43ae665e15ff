"""Next-token loss on unseen text, read after a compressed memory and after what it is to be compared with.

All losses of a stretch are of the same tokens: the continuation, read after nothing (``none``), after the whole text
(``full``), after the memory of the trained compressor (``trained``), of the compressor before training (``untrained``:
the same start; ``untrained-end``: the published one), after the trained compressor's memory of another text
(``other-text``: what it gains from any memory at all), and after what training-free scorers keep in as many bytes.
Memory stands at the positions of its text, as prompts read it while they fit the window; ``trained-counted`` is the
trained memory read at as many positions as it has places, as in prompts that would not fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import torch

from rereader.models.compressors.shelf import Shelf
from rereader.models.engine import Engine
from rereader.models.kvblock import LayerStates
from rereader.models.kvmemory import Compression
from rereader.models.memory_passes import Memory, Passes
from rereader.models.memory_tokens import MemoryTokens
from rereader.models.rotation import Rotation
from rereader.training.compressor_base import Base
from rereader.training.compressor_losses import token_losses
from rereader.training.compressor_settings import CompressorSettings

Row = dict[str, Any]
TRAINED = "trained"


class Comparison:
    """Reads continuations after memories of every kind.

    Args:
        base: The model.
        settings: Window, ratios, scorers.
        tokens: The trained compressor.
    """

    def __init__(self, base: Base, settings: CompressorSettings, tokens: MemoryTokens) -> None:
        self._base, self._settings = base, settings
        self._passes = Passes(base.model, settings.layout)
        self._counted = Passes(base.model, settings.layout, spaced=False)
        fresh = base.new_tokens(settings.rank, settings.start, settings.seed)
        self._compressors = {TRAINED: tokens, "untrained": fresh}
        if settings.start != "end":
            self._compressors["untrained-end"] = base.new_tokens(settings.rank, "end", settings.seed)
        self._engine = Engine(base.model)
        self._rotation = Rotation(base.model)
        self._shelf = Shelf()

    def rows(self, stretches: Sequence[Sequence[int]]) -> Iterator[Row]:
        """A row for each stretch, kind of memory and ratio.

        Args:
            stretches: Tokens: windows, then a continuation.
        """
        with torch.no_grad():
            start = self._passes.begin(self._base.tensor([self._base.opening]))
            for number, stretch in enumerate(stretches):
                text, rest = self._split(stretch)
                yield self._row(number, "none", None, 0, self._loss(start, rest))
                yield self._row(number, "full", None, text.shape[1], self._full(start, text, rest))
                other = self._split(stretches[number - 1])[0] if len(stretches) > 1 else None
                for ratio in self._settings.measured_ratios:
                    for name, past in self._memories(start, text, other, ratio):
                        kept = past.places - start.places
                        yield self._row(number, name, ratio, kept, self._loss(past, rest))
                        if name == TRAINED:
                            loss = self._loss(past, rest, self._counted)
                            yield self._row(number, f"{name}-counted", ratio, kept, loss)

    def _memories(
        self, start: Memory, text: torch.Tensor, other: torch.Tensor | None, ratio: float
    ) -> Iterator[tuple[str, Memory]]:
        """What the continuation is read after, for each kind of memory."""
        for name, tokens in self._compressors.items():
            yield name, self._fold(start, text, tokens, ratio)
        if other is not None:
            yield "other-text", self._fold(start, other, self._compressors[TRAINED], ratio)
        ids = tuple(text[0].tolist())
        for name in self._settings.scorers:
            how = Compression(name, ratio)
            scorer = self._shelf.find(how)
            states = scorer.states(self._engine, self._base.opening, [ids], (), how, _never)
            yield name, start.then(self._memory(states[0], len(ids), start))

    def _split(self, stretch: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """A stretch's text and continuation, int64 [1, tokens]."""
        ids, cut = self._base.tensor([stretch]), self._settings.window * self._settings.windows
        return ids[:, :cut], ids[:, cut:]

    def _loss(self, past: Memory | None, rest: torch.Tensor, passes: Passes | None = None) -> float:
        run = passes or self._passes
        return float(token_losses(run, run.read(past, rest), rest).mean())

    def _full(self, start: Memory, text: torch.Tensor, rest: torch.Tensor) -> float:
        hidden = self._passes.read(start, torch.cat((text, rest), 1))
        return float(token_losses(self._passes, hidden[:, text.shape[1] :], rest).mean())

    def _fold(self, start: Memory, text: torch.Tensor, tokens: MemoryTokens, ratio: float) -> Memory:
        return self._passes.compress(start, text, tokens, self._settings.window, ratio)

    def _memory(self, states: Sequence[LayerStates], length: int, start: Memory) -> Memory:
        """What a scorer kept, read where it stood.

        Heads keep different tokens, a memory has one offset for all: its keys are turned so that reading them at that
        offset puts them where they stood.
        """
        before, count = start.length, states[0].offsets.shape[1]
        layers = []
        for number, layer in enumerate(states):
            stood = self._rotation.rotate(layer.keys, layer.offsets + before, number)
            read = torch.arange(count, device=stood.device) + before
            layers.append((self._rotation.unrotate(stood, read, number)[None], layer.values[None]))
        return Memory(tuple(layers), torch.arange(count, device=self._base.model.device), length)

    def _row(self, chunk: int, memory: str, ratio: float | None, places: int, loss: float) -> Row:
        counted = self._settings.continuation - 1
        return {"chunk": chunk, "memory": memory, "ratio": ratio, "places": places, "tokens": counted, "loss": loss}


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Mean loss of each kind of memory and ratio, and how much more it is than the trained compressor's, in pairs.

    Returns:
        Rows with ``loss``; with ``more``, the mean of the paired differences, and its standard error ``error``; the
        controls without a ratio have ``more`` for each ratio.
    """
    ratios = list(dict.fromkeys(row["ratio"] for row in rows if row["ratio"] is not None))
    found: list[Row] = []
    for ratio in ratios:
        trained = _losses(rows, TRAINED, ratio)
        for name in dict.fromkeys(row["memory"] for row in rows):
            own = _losses(rows, name, ratio) or _losses(rows, name, None)
            more = [own[chunk] - trained[chunk] for chunk in trained]
            mean, error = mean_and_error(more)
            loss = sum(own.values()) / len(own)
            found.append(
                {"memory": name, "ratio": ratio, "chunks": len(own), "loss": loss, "more": mean, "error": error}
            )
    return found


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean of values and its standard error, which is 0 for fewer than two."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return fmean(values) if values else 0.0, error


def _never() -> bool:
    return False


def _losses(rows: Sequence[Mapping[str, Any]], name: str, ratio: float | None) -> dict[int, float]:
    return {row["chunk"]: row["loss"] for row in rows if row["memory"] == name and row["ratio"] == ratio}
