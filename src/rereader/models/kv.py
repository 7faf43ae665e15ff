"""The only file that touches the insides of transformers' key-value caches.

Every layer keeps all keys, also where a model looks at a sliding window only (the mask enforces the window), so a
cache can be cut anywhere. Rows of a batch are aligned at their right edge: unused places lie on the left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

from rereader.schema.errors import ModelError

_ROOM = 256
"""Places by which a full buffer grows at least."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """A dynamic layer that writes into spare room instead of copying all keys at every token."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self._rooms: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values [rows, heads, tokens, size] and return all of them."""
        length = self.get_seq_length()
        end = length + key_states.shape[-2]
        if not self._rooms or self._rooms[0].shape[-2] < end:
            self._grow(key_states, value_states, length, end)
        self._rooms[0][..., length:end, :] = key_states
        self._rooms[1][..., length:end, :] = value_states
        self.show(end)
        return self.keys, self.values

    def show(self, end: int) -> None:
        """Make the first ``end`` places the content of the layer."""
        self.keys, self.values = (room[..., :end, :] for room in self._rooms)

    def fill(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace the content; the layer owns the tensors from now on."""
        self.dtype, self.device = keys.dtype, keys.device
        self._rooms = [keys, values]
        self.is_initialized = True
        self.show(keys.shape[-2])

    def _grow(self, keys: torch.Tensor, values: torch.Tensor, length: int, end: int) -> None:
        places = end + max(_ROOM, end // 8)
        rooms = [state.new_zeros(*state.shape[:2], places, state.shape[-1]) for state in (keys, values)]
        if length:
            rooms[0][..., :length, :] = self.keys
            rooms[1][..., :length, :] = self.values
        self.dtype, self.device = keys.dtype, keys.device
        self._rooms = rooms
        self.is_initialized = True


@dataclass(frozen=True)
class KVPrefix:
    """Keys and values of one prompt's first ``length`` tokens: per layer a pair [1, heads, length, size]."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    length: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(t.numel() * t.element_size() for pair in self.layers for t in pair)


def empty_cache() -> Cache:
    """A cache without content; layers appear as the model writes them."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def width(cache: Cache) -> int:
    """Places in use."""
    return int(cache.get_seq_length())


def rewind(cache: Cache, length: int) -> None:
    """Forget everything after the first ``length`` places; nothing is copied."""
    for layer in _layers(cache):
        layer.show(length)


def check(cache: Cache, expected: int) -> None:
    """Make sure that the model keeps one key per token in every layer.

    Raises:
        ModelError: If it does not (recurrent layers, shared keys).
    """
    if not cache.layers or any(layer.get_seq_length() != expected for layer in _layers(cache)):
        raise ModelError(
            "The model does not keep one key per token in every layer.",
            "Use a plain attention model (Llama, Qwen2, Qwen3 or Gemma 3).",
        )


def snapshot(cache: Cache, length: int) -> KVPrefix:
    """Copy the first ``length`` places of a cache with one row."""
    pairs = [(layer.keys, layer.values) for layer in _layers(cache)]
    return KVPrefix(tuple((k[..., :length, :].clone(), v[..., :length, :].clone()) for k, v in pairs), length)


def states(cache: Cache) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and content of every layer's keys and values: [rows, heads, places, size]."""
    for number, layer in enumerate(_layers(cache)):
        yield f"{number}.keys", layer.keys
        yield f"{number}.values", layer.values


def from_prefixes(prefixes: Sequence[KVPrefix | None], take: Sequence[int]) -> Cache:
    """A batch whose row i holds the first ``take[i]`` tokens of ``prefixes[i]``, aligned right, zeros before.

    Returns:
        A cache ``max(take)`` places wide; an empty one when that is 0.
    """
    places = max(take, default=0)
    cache = empty_cache()
    if not places:
        return cache
    model = next(prefix for prefix in prefixes if prefix is not None)
    for index, pair in enumerate(model.layers):
        rooms = [t.new_zeros(len(take), t.shape[1], places, t.shape[-1]) for t in pair]
        for row, (prefix, count) in enumerate(zip(prefixes, take, strict=True)):
            if prefix is not None and count:
                for room, source in zip(rooms, prefix.layers[index], strict=True):
                    room[row, :, places - count :] = source[0, :, :count]
        _append(cache, *rooms)
    return cache


def select(cache: Cache, rows: torch.Tensor, drop: int = 0) -> Cache:
    """A new cache of the given rows (an index may occur several times) without the first ``drop`` places."""
    chosen = empty_cache()
    for layer in _layers(cache):
        _append(chosen, layer.keys[rows][..., drop:, :], layer.values[rows][..., drop:, :])
    return chosen


def merge(first: Cache, second: Cache) -> Cache:
    """One cache with the rows of both, aligned right, in the wider one's width."""
    places = max(width(first), width(second))
    joint = empty_cache()
    for one, other in zip(_layers(first), _layers(second), strict=True):
        keys = torch.cat([_widen(one.keys, places), _widen(other.keys, places)])
        _append(joint, keys, torch.cat([_widen(one.values, places), _widen(other.values, places)]))
    return joint


def convert(cache: Cache, dtype: torch.dtype) -> Cache:
    """The same content in another precision; the same object when nothing changes."""
    if not cache.layers or _layers(cache)[0].keys.dtype == dtype:
        return cache
    changed = empty_cache()
    for layer in _layers(cache):
        _append(changed, layer.keys.to(dtype), layer.values.to(dtype))
    return changed


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Bytes that one token's keys and values take in all layers."""
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return 2 * int(text.num_hidden_layers) * int(heads) * int(size) * dtype.itemsize


def _layers(cache: Cache) -> list[RoomyLayer]:
    return cast(list[RoomyLayer], cache.layers)


def _append(cache: Cache, keys: torch.Tensor, values: torch.Tensor) -> None:
    layer = RoomyLayer()
    layer.fill(keys, values)
    cache.layers.append(layer)


def _widen(states: torch.Tensor, places: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, places - states.shape[-2], 0))
