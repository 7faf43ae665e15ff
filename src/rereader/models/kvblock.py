"""A compressed text: the keys and values of the tokens that were kept, without their rotation.

Every head keeps tokens of its own, perhaps more than another. They lie one after the other: layer by layer, in each
head by head, in each by their order in the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rereader.models import kv, tensorfile
from rereader.models.kvmemory import Compression, KVPrecision, UnusableBlock
from rereader.models.quantising import scale_per_channel, scale_per_token, shrink

_FORMAT = "1"
_TENSORS = ("counts", "offsets", "keys", "values", "key_scales", "value_scales")
_HEADER_BYTES = 1500
"""Bytes of a file besides its tensors, about."""
Ids = tuple[int, ...]


class LayerStates(NamedTuple):
    """One layer of a compressed text.

    Args:
        keys: Unrotated keys: [key heads, slots, size].
        values: [key heads, slots, size].
        offsets: Which token of the text each is, ascending in each head: int [key heads, slots]; below 0 where the head
            does not use the slot.
    """

    keys: torch.Tensor
    values: torch.Tensor
    offsets: torch.Tensor


@dataclass(frozen=True)
class Manifest:
    """What a block is.

    Args:
        model: Fingerprint of the model that made it.
        digest: Identifies the model, the text and the way it was compressed.
        length: Tokens of the text.
        scorer: What decided which tokens are kept.
        ratio: Tokens of the text for each that is kept.
        budgets: How the places were shared out among heads.
        precision: How the states are stored.
    """

    model: str
    digest: str
    length: int
    scorer: str
    ratio: float
    budgets: str
    precision: KVPrecision = "exact"

    def metadata(self) -> dict[str, str]:
        """What is written into a file."""
        return {"format": _FORMAT, **{name: json.dumps(value) for name, value in asdict(self).items()}}

    @classmethod
    def of_metadata(cls, metadata: dict[str, str]) -> Manifest:
        """What was written.

        Raises:
            UnusableBlock: If it is of another form.
        """
        try:
            if metadata.pop("format") != _FORMAT:
                raise UnusableBlock("it is of another version")
            return cls(**{name: json.loads(value) for name, value in metadata.items()})
        except (KeyError, TypeError, ValueError) as error:
            raise UnusableBlock("it is no compressed text") from error


def block_digest(model: str, opening: Ids, text: Ids, scorer: str, compression: Compression) -> str:
    """Identifies a block before it is made: sha256.

    Args:
        model: Fingerprint of the model.
        opening: Tokens that stand before the text.
        text: Tokens of the text.
        scorer: Identifies what decides which tokens are kept, with its weights if it has any.
        compression: How much is kept.
    """
    parts = [_FORMAT, model, opening, text, scorer, compression.ratio, compression.budgets]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class KVBlock:
    """A compressed text; see :class:`~rereader.models.kvmemory.KVMemory`.

    Args:
        manifest: What it is.
        counts: Tokens that each head keeps: int64 [layers, key heads].
        offsets: Which token of the text each is: int32 [all tokens that are kept].
        keys: Unrotated keys [all, size], multiples of their scale if they are int8.
        values: [all, size], likewise.
        key_scales: float32 [layers, key heads, size], for int8.
        value_scales: float32 [all, 1], for int8.
    """

    manifest: Manifest
    counts: torch.Tensor
    offsets: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    key_scales: torch.Tensor | None = None
    value_scales: torch.Tensor | None = None

    @classmethod
    def pack(cls, manifest: Manifest, layers: Sequence[LayerStates]) -> KVBlock:
        """Put layers together; what heads do not use is dropped, and everything is copied to the CPU.

        Raises:
            ValueError: If a head keeps nothing, or more than the text has.
        """
        used = [layer.offsets >= 0 for layer in layers]
        counts = torch.stack([mask.sum(-1) for mask in used]).cpu()
        if int(counts.min()) < 1 or int(counts.max()) > manifest.length:
            raise ValueError("Every head keeps at least one token, and no more than the text has.")
        parts = [[part[mask].cpu() for part in layer] for layer, mask in zip(layers, used, strict=True)]
        keys, values, offsets = (torch.cat(column) for column in zip(*parts, strict=True))
        return cls(manifest, counts, offsets.int(), keys, values)

    @property
    def digest(self) -> str:
        """Identifies the model, the text and the way it was compressed, whatever the precision."""
        return self.manifest.digest

    @property
    def model(self) -> str:
        """Fingerprint of the model that made it."""
        return self.manifest.model

    @cached_property
    def places(self) -> int:
        """Keys of its fullest head."""
        return int(self.counts.max())

    @property
    def length(self) -> int:
        """Tokens of the text."""
        return self.manifest.length

    @property
    def name(self) -> str:
        """Identifies exactly what a model reads."""
        return f"{self.digest} {self.manifest.precision}"

    def layer(self, number: int) -> LayerStates:
        """One layer, as wide as its fullest head or the block's ``places``: keys and values as floats.

        Where a head does not use a slot its keys and values are 0 and its offset is -1.
        """
        heads = self.counts.shape[1]
        start, counts = int(self.counts[:number].sum()), self.counts[number]
        part = slice(start, start + int(counts.sum()))
        keys, values = self._floats(number, part)
        states = LayerStates(keys, values, self.offsets[part])
        if bool((counts == self.places).all()):
            return LayerStates(*(state.reshape(heads, self.places, *state.shape[1:]) for state in states))
        used = torch.arange(self.places) < counts[:, None]
        rooms = [state.new_zeros(heads, self.places, *state.shape[1:]) for state in states]
        rooms[2].fill_(-1)
        for room, state in zip(rooms, states, strict=True):
            room[used] = state
        return LayerStates(*rooms)

    def stored(self, precision: KVPrecision) -> KVBlock:
        """The block as it is in a file of some precision; what is stored with less stays as it is."""
        if precision == "exact" or self.manifest.precision in (precision, "int8"):
            return self
        manifest = replace(self.manifest, precision=precision)
        if precision == "bfloat16":
            return replace(self, manifest=manifest, keys=self.keys.bfloat16(), values=self.values.bfloat16())
        groups, layers, heads = self._groups(), *self.counts.shape
        key_scales = scale_per_channel(self.keys, groups, layers * heads)
        value_scales = scale_per_token(self.values)
        keys, values = shrink(self.keys, key_scales[groups]), shrink(self.values, value_scales)
        key_scales = key_scales.reshape(layers, heads, -1)
        return KVBlock(manifest, self.counts, self.offsets, keys, values, key_scales, value_scales)

    def save(self, path: Path, precision: KVPrecision) -> None:
        """Write it to a file of some precision, all or nothing; see :func:`load_block`.

        Raises:
            OSError: If the file cannot be written.
        """
        stored = self.stored(precision)
        tensorfile.write(path, stored._tensors(), stored.manifest.metadata(), for_all=False)

    def _floats(self, layer: int, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = self.keys[part], self.values[part]
        if self.key_scales is None or self.value_scales is None:
            return keys, values
        scales = self.key_scales[layer].repeat_interleave(self.counts[layer], 0)
        return keys.float() * scales, values.float() * self.value_scales[part]

    def _groups(self) -> torch.Tensor:
        """Which head of which layer each token belongs to: int64 [all]."""
        return torch.arange(self.counts.numel()).repeat_interleave(self.counts.reshape(-1))

    def _tensors(self) -> dict[str, torch.Tensor]:
        named = {name: getattr(self, name) for name in _TENSORS}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KVBlock) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def load_block(path: Path, model: str, config: Any) -> KVBlock:
    """A block from its file, which is read once for its checksum; its tensors lie in it, see ``tensorfile.read``.

    Args:
        path: The file.
        model: Fingerprint of the model that will read it.
        config: That model's configuration.

    Raises:
        FileNotFoundError: If there is none.
        UnusableBlock: If it is damaged, or another model's.
    """
    tensors, metadata = tensorfile.read(path)
    manifest = Manifest.of_metadata(metadata)
    if manifest.model != model:
        raise UnusableBlock("it is another model's")
    layers, heads, size = kv.shape(config)
    block = KVBlock(manifest, **tensors)
    if block.counts.shape != (layers, heads) or block.keys.shape != (len(block.offsets), size):
        raise UnusableBlock("it has another shape than the model's")
    return block


def block_bytes(config: Any, dtype: torch.dtype, places: int, precision: KVPrecision) -> int:
    """Bytes of a file in which heads keep so many tokens on average, about."""
    layers, heads, size = kv.shape(config)
    kept = layers * heads * places
    each = {"exact": dtype.itemsize, "bfloat16": 2, "int8": 1}[precision]
    scales = 4 * (kept + layers * heads * size) if precision == "int8" else 0
    return kept * (2 * size * each + 4) + scales + _HEADER_BYTES
