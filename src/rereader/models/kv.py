"""The only file that touches the insides of transformers' key-value caches.

Every layer keeps all keys, also where a model looks at a sliding window only (the mask enforces the window), so a
cache can be cut anywhere. Rows of a batch are aligned at their right edge: unused places lie on the left.

A token's position is its place less the unused ones on the left. Compressed texts break that rule: their keys may stand
further apart than their places, each head's elsewhere, and a head may leave places unused. A layer that needs it keeps
*marks*, which say for its first places where each head's keys stand, and the cache how far later tokens are shifted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

from rereader.schema.errors import ModelError

UNUSED = -1
"""Mark of a place that a head does not use."""
BY_PLACE = -2
"""Mark of a place whose position follows from the place itself."""
_ROOM = 256
"""Places by which a full buffer grows at least."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """A dynamic layer that writes into spare room instead of copying all keys at every token."""

    keys: torch.Tensor
    values: torch.Tensor
    marks: torch.Tensor | None = None
    """Positions of the first places, or marks in their stead: int32 [rows, heads, first places]."""

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


class RoomyCache(Cache):  # type: ignore[misc, unused-ignore]
    """Roomy layers, which appear as the model writes them."""

    shifts: torch.Tensor | None = None
    """Positions that a row's last tokens stand beyond their places: int64 [rows] on the CPU; ``None``: nowhere any."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=RoomyLayer)

    @property
    def marks(self) -> list[torch.Tensor | None]:
        """The marks of each layer."""
        return [layer.marks for layer in _layers(self)]


@dataclass(frozen=True)
class KVPrefix:
    """Keys and values of one prompt's first ``length`` tokens: per layer a pair [1, heads, length, size]."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    length: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(t.numel() * t.element_size() for pair in self.layers for t in pair)


def empty_cache() -> RoomyCache:
    """A cache without content."""
    return RoomyCache()


def width(cache: RoomyCache) -> int:
    """Places in use."""
    return int(cache.get_seq_length())


def rewind(cache: RoomyCache, length: int) -> None:
    """Forget everything after the first ``length`` places; nothing is copied.

    A compressed text is kept whole or not at all: who cuts one off also calls :func:`forget_marks`.
    """
    for layer in _layers(cache):
        layer.show(length)


def forget_marks(cache: RoomyCache) -> None:
    """Let every position follow from the place again."""
    cache.shifts = None
    for layer in _layers(cache):
        layer.marks = None


def check(cache: RoomyCache, expected: int) -> None:
    """Make sure that the model keeps one key per token in every layer.

    Raises:
        ModelError: If it does not (recurrent layers, shared keys).
    """
    if not cache.layers or any(layer.get_seq_length() != expected for layer in _layers(cache)):
        raise ModelError(
            "The model does not keep one key per token in every layer.",
            "Use a plain attention model (Llama, Qwen2, Qwen3 or Gemma 3).",
        )


def snapshot(cache: RoomyCache, length: int) -> KVPrefix:
    """Copy the first ``length`` places of a cache with one row."""
    pairs = [(layer.keys, layer.values) for layer in _layers(cache)]
    return KVPrefix(tuple((k[..., :length, :].clone(), v[..., :length, :].clone()) for k, v in pairs), length)


def pairs(cache: RoomyCache) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of each layer: [rows, heads, places, size]."""
    for layer in _layers(cache):
        yield layer.keys, layer.values


def from_prefixes(prefixes: Sequence[KVPrefix | None], take: Sequence[int]) -> RoomyCache:
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


def append(cache: RoomyCache, layer: int, keys: torch.Tensor, values: torch.Tensor, marks: torch.Tensor | None) -> None:
    """Put states [heads, places, size] after a cache of one row; marks [heads, all places] are for all it has then."""
    cache.update(keys[None], values[None], layer)
    _layers(cache)[layer].marks = None if marks is None else marks[None]


def select(cache: RoomyCache, rows: torch.Tensor, drop: int = 0) -> RoomyCache:
    """A new cache of the given rows (an index may occur several times) without the first ``drop`` places."""
    chosen = empty_cache()
    chosen.shifts = None if cache.shifts is None else cache.shifts[rows.cpu()]
    for layer in _layers(cache):
        marks = None if layer.marks is None else layer.marks[rows][..., drop:]
        _append(chosen, layer.keys[rows][..., drop:, :], layer.values[rows][..., drop:, :], marks)
    return chosen


def merge(*caches: RoomyCache) -> RoomyCache:
    """One cache with the rows of all, aligned right, in the widest one's width."""
    if len(caches) == 1:
        return caches[0]
    places = max(map(width, caches))
    joint = empty_cache()
    if any(cache.shifts is not None for cache in caches):
        joint.shifts = torch.cat([_shifts(cache) for cache in caches])
    for layers in zip(*map(_layers, caches), strict=True):
        keys = torch.cat([_widen(layer.keys, places) for layer in layers])
        values = torch.cat([_widen(layer.values, places) for layer in layers])
        _append(joint, keys, values, _merge_marks(layers, places))
    return joint


def convert(cache: RoomyCache, dtype: torch.dtype) -> RoomyCache:
    """The same content in another precision; the same object when nothing changes."""
    if not cache.layers or _layers(cache)[0].keys.dtype == dtype:
        return cache
    changed = empty_cache()
    changed.shifts = cache.shifts
    for layer in _layers(cache):
        _append(changed, layer.keys.to(dtype), layer.values.to(dtype), layer.marks)
    return changed


def shape(config: Any) -> tuple[int, int, int]:
    """Layers of a model, key heads of each, and the size of a key."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(text.num_hidden_layers), int(heads), int(size)


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Bytes that one token's keys and values take in all layers."""
    layers, heads, size = shape(config)
    return 2 * layers * heads * size * dtype.itemsize


def _layers(cache: RoomyCache) -> list[RoomyLayer]:
    return cast(list[RoomyLayer], cache.layers)


def _append(cache: RoomyCache, keys: torch.Tensor, values: torch.Tensor, marks: torch.Tensor | None = None) -> None:
    layer = RoomyLayer()
    layer.fill(keys, values)
    layer.marks = marks
    cache.layers.append(layer)


def _widen(states: torch.Tensor, places: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, places - states.shape[-2], 0))


def _shifts(cache: RoomyCache) -> torch.Tensor:
    rows = _layers(cache)[0].keys.shape[0]
    return torch.zeros(rows, dtype=torch.int64) if cache.shifts is None else cache.shifts


def _merge_marks(layers: Sequence[RoomyLayer], places: int) -> torch.Tensor | None:
    """Marks of all rows, over as many places as any row has marks for."""
    moved = [places - layer.keys.shape[-2] for layer in layers]
    ends = [0 if one.marks is None else by + one.marks.shape[-1] for one, by in zip(layers, moved, strict=True)]
    if not any(ends):
        return None
    rows = []
    for layer, by, end in zip(layers, moved, ends, strict=True):
        marks = torch.full((*layer.keys.shape[:2], max(ends)), BY_PLACE, dtype=torch.int32, device=layer.keys.device)
        if layer.marks is not None:
            marks[..., by:end] = layer.marks
        rows.append(marks)
    return torch.cat(rows)
