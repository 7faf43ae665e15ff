"""Forward passes that make memory tokens' keys and values, and that read them, with gradients where they are wanted.

Two layouts. ``beside`` (ours): a text's tokens are read as the model always reads them, and each memory token looks at
what was read up to its place; so reading a window is at once the reading that the next loss is taken from, and the
weights of the model see nothing unusual. ``interleaved`` (as published): memory tokens stand between the tokens, which
see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers.cache_utils import Cache, DynamicLayer

from rereader.models.memory_tokens import MemoryTokens, Projections, Taken, projecting
from rereader.models.rotation import Rotation
from rereader.schema.errors import InputError, Interrupted
from rereader.schema.events import Cancelled

Layout = Literal["beside", "interleaved"]
LAYOUTS: tuple[Layout, ...] = ("beside", "interleaved")
Pairs = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@dataclass(frozen=True)
class Memory:
    """Keys, not rotated, and values that stand for a text.

    Args:
        layers: Per layer keys and values [rows, key heads, places, size].
        offsets: The token of the text that each place stands at: int64 [places], ascending.
        length: Tokens of the text.
    """

    layers: Pairs
    offsets: torch.Tensor
    length: int

    @property
    def places(self) -> int:
        """Keys of each head."""
        return len(self.offsets)

    def then(self, later: Memory) -> Memory:
        """This text and a later one as one."""
        pairs = zip(self.layers, later.layers, strict=True)
        layers = tuple((torch.cat((k, a), 2), torch.cat((v, b), 2)) for (k, v), (a, b) in pairs)
        return Memory(layers, torch.cat((self.offsets, later.offsets + self.length)), self.length + later.length)

    def rows(self, count: int) -> Memory:
        """The same for several rows; nothing is copied, gradients add up."""
        layers = tuple((k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in self.layers)
        return Memory(layers, self.offsets, self.length)

    def after(self, places: int, length: int) -> Memory:
        """What remains without the first places, which stand for ``length`` tokens."""
        layers = tuple((k[:, :, places:], v[:, :, places:]) for k, v in self.layers)
        return Memory(layers, self.offsets[places:] - length, self.length - length)


def group_ends(tokens: int, ratio: float) -> list[int]:
    """Where the groups of a text end that a memory token comes after; the last one may be smaller."""
    ends: list[int] = []
    while not ends or ends[-1] < tokens:
        ends.append(min(tokens, max(round((len(ends) + 1) * ratio), len(ends) + 1)))
    return ends


class Passes:
    """Forward passes of one model. Its weights must not want gradients.

    Args:
        model: A causal language model of transformers, with SDPA or eager attention.
        layout: How memory tokens stand to the text.
        spaced: Whether memory takes as many positions as its text had tokens; else as many as it has places.
    """

    def __init__(self, model: Any, layout: Layout = "beside", *, spaced: bool = True) -> None:
        self.model = model
        self.layout = layout
        self.spaced = spaced
        self._config = model.config.get_text_config()
        self._layers = int(self._config.num_hidden_layers)
        self._rotation = Rotation(model)

    def begin(self, ids: torch.Tensor) -> Memory:
        """Read the beginning of a prompt, int64 [rows, tokens], and keep all of it."""
        run = self._start(None)
        positions = torch.arange(ids.shape[1], device=ids.device)
        _, pairs = run.go(self._embed(ids), positions, None)
        return Memory(pairs, positions, ids.shape[1])

    def read(self, past: Memory | None, ids: torch.Tensor, adapter: Projections | None = None) -> torch.Tensor:
        """Read tokens after a memory: the last layer's states [rows, tokens, hidden].

        Args:
            past: What stands before them.
            ids: int64 [rows, tokens].
            adapter: Other projections for these tokens.
        """
        return self._start(past).raw(self._embed(ids), adapter)[0]

    def reader(self, past: Memory | None, adapter: Projections | None = None) -> Reader:
        """Read tokens after a memory in several goes."""
        return Reader(self, self._start(past), adapter)

    def fold(
        self, past: Memory | None, ids: torch.Tensor, tokens: MemoryTokens, ratio: float
    ) -> tuple[torch.Tensor, Memory]:
        """Read a window and make its memory.

        Args:
            past: What stands before it.
            ids: int64 [rows, tokens], at least one token.
            tokens: The compressor.
            ratio: Tokens for each memory token.

        Returns:
            The states of the window's own tokens [rows, tokens, hidden], and its memory.
        """
        ends = torch.tensor(group_ends(ids.shape[1], ratio), device=ids.device)
        run = self._start(past)
        made = run.interleaved if self.layout == "interleaved" else run.beside
        hidden, pairs = made(self._embed(ids), ends, tokens)
        return hidden, Memory(pairs, ends - 1, ids.shape[1])

    def compress(
        self,
        start: Memory | None,
        ids: torch.Tensor,
        tokens: MemoryTokens,
        window: int,
        ratio: float,
        cancelled: Cancelled = lambda: False,
    ) -> Memory:
        """Read texts window by window; of the windows before, each sees the memory only.

        Args:
            start: What stands before them.
            ids: int64 [rows, tokens], at least one token.
            tokens: The compressor.
            window: Most tokens of a window.
            ratio: Tokens for each memory token.
            cancelled: Whether to stop.

        Returns:
            What stood before, and the texts' memory.

        Raises:
            InputError: If there are no tokens.
            Interrupted: If ``cancelled`` says so.
        """
        past = start
        for place in range(0, ids.shape[1], window):
            if cancelled():
                raise Interrupted("Stopped while a text was compressed.", "Run the same again to go on.")
            _, memory = self.fold(past, ids[:, place : place + window], tokens, ratio)
            past = memory if past is None else past.then(memory)
        if past is None:
            raise InputError("There is no text to compress.", "Give a text of at least one token.")
        return past

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits from the last layer's states."""
        logits: torch.Tensor = self.model.get_output_embeddings()(hidden)
        return logits

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.model.get_input_embeddings()(ids)
        return states

    def _start(self, past: Memory | None) -> _Run:
        cache = Cache(layer_class_to_replicate=DynamicLayer)
        if past is None:
            return _Run(self, cache, torch.zeros(0, dtype=torch.int64, device=self.model.device), 0)
        positions = past.offsets if self.spaced else torch.arange(past.places, device=past.offsets.device)
        places = positions.cpu()  # once: the rotation looks at them in every layer
        for layer, (keys, values) in enumerate(past.layers):
            cache.update(self._rotation.rotate(keys, places, layer), values, layer)
        return _Run(self, cache, positions, past.length if self.spaced else past.places)

    def forward(
        self, states: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor, cache: Cache, before: torch.Tensor
    ) -> torch.Tensor:
        """One pass of the model's layers.

        Args:
            states: [rows, tokens, hidden].
            positions: Of the tokens, int64 [tokens].
            seen: What each token may see, boolean [tokens, all keys].
            cache: Keys and values before; the pass adds its own.
            before: Positions of all keys.
        """
        mask: Any = seen[None, None]
        kinds = getattr(self._config, "layer_types", None) or ()
        if "sliding_attention" in kinds:
            near = before[None] > positions[:, None] - self._config.sliding_window
            mask = {"full_attention": mask, "sliding_attention": mask & near[None, None]}
        output = self.model.get_decoder()(
            inputs_embeds=states,
            attention_mask=mask,
            position_ids=positions[None].expand(len(states), -1),
            past_key_values=cache,
            use_cache=True,
        )
        hidden: torch.Tensor = output.last_hidden_state
        return hidden


class Reader:
    """Tokens that are read after a memory one go after the other, as in writing a reply."""

    def __init__(self, passes: Passes, run: _Run, adapter: Projections | None) -> None:
        self._passes, self._run, self._adapter = passes, run, adapter

    def more(self, ids: torch.Tensor) -> torch.Tensor:
        """Read tokens, int64 [rows, tokens]; the logits after the last one [rows, vocabulary]."""
        hidden, _ = self._run.raw(self._passes._embed(ids), self._adapter)
        return self._passes.logits(hidden[:, -1])

    def spread(self, count: int) -> None:
        """Go on with ``count`` rows in place of one."""
        self._run.cache.batch_repeat_interleave(count)


class _Run:
    """A stretch of passes over one cache: positions of its keys, and the position that comes next."""

    def __init__(self, passes: Passes, cache: Cache, positions: torch.Tensor, place: int) -> None:
        self._passes, self.cache, self._positions, self._next = passes, cache, positions, place

    def go(
        self,
        states: torch.Tensor,
        positions: torch.Tensor,
        own: Projections | None,
        seen: torch.Tensor | None = None,
        places: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Pairs]:
        """Read tokens at given positions; by default each sees what came before it and itself."""
        count, past = len(positions), len(self._positions)
        if seen is None:
            seen = torch.ones(count, past + count, dtype=torch.bool, device=positions.device).tril(past)
        self._positions = torch.cat((self._positions, positions))
        taken = Taken(self._passes._layers)
        with projecting(self._passes.model, own, places, taken):
            hidden = self._passes.forward(states, positions, seen, self.cache, self._positions)
        return hidden, taken.pairs()

    def raw(self, states: torch.Tensor, adapter: Projections | None = None) -> tuple[torch.Tensor, Pairs]:
        """Read tokens of a text at the positions that come next."""
        positions = torch.arange(self._next, self._next + states.shape[1], device=states.device)
        self._next += states.shape[1]
        return self.go(states, positions, adapter)

    def beside(self, states: torch.Tensor, ends: torch.Tensor, tokens: MemoryTokens) -> tuple[torch.Tensor, Pairs]:
        """Read a window, then its memory tokens: each stands where its group ends, and sees the text up to there."""
        past, first, count = len(self._positions), self._next, states.shape[1]
        hidden, _ = self.raw(states)
        device = states.device
        own = torch.ones(len(ends), len(ends), dtype=torch.bool, device=device).tril()
        text = torch.arange(count, device=device)[None] < ends[:, None]
        seen = torch.cat((torch.ones(len(ends), past, dtype=torch.bool, device=device), text, own), 1)
        _, pairs = self.go(tokens.inputs(states, ends), first + ends - 1, tokens, seen)
        return hidden, pairs

    def interleaved(self, states: torch.Tensor, ends: torch.Tensor, tokens: MemoryTokens) -> tuple[torch.Tensor, Pairs]:
        """Read a window with its memory tokens among its tokens; positions count both."""
        count, device = states.shape[1], states.device
        places = ends + torch.arange(len(ends), device=device)
        is_text = torch.ones(count + len(ends), dtype=torch.bool, device=device)
        is_text[places] = False
        inputs = tokens.inputs(states, ends)
        mixed = states.new_zeros(len(states), len(is_text), states.shape[2])
        mixed = mixed.index_copy(1, is_text.nonzero()[:, 0], states).index_copy(1, places, inputs)
        positions = torch.arange(self._next, self._next + len(is_text), device=device)
        self._next += len(is_text)
        hidden, pairs = self.go(mixed, positions, tokens, places=places)
        return hidden[:, is_text], pairs
