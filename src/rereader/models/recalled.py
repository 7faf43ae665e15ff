"""Where a prompt has compressed texts, and how they stand in its tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rereader.models.base import Segment
from rereader.models.kvmemory import KVMemory
from rereader.schema.errors import InputError


@dataclass(frozen=True)
class Recalled:
    """Blocks that are read side by side in place of a text.

    Args:
        start: Tokens before the first block.
        blocks: The blocks, in their order.
        ids: A number below zero for each place, the same for all places of a block.
        spaced: Whether each block takes as many positions as its text had tokens; else as many as it has places.
    """

    start: int
    blocks: tuple[KVMemory, ...]
    ids: tuple[int, ...]
    spaced: bool

    @property
    def end(self) -> int:
        """Tokens up to the end of the last block."""
        return self.start + len(self.ids)

    @property
    def shift(self) -> int:
        """Positions that the blocks take beyond their places."""
        return sum(block.length - block.places for block in self.blocks) if self.spaced else 0

    @classmethod
    def of_blocks(cls, start: int, blocks: tuple[KVMemory, ...], spaced: bool = True) -> Recalled:
        """Blocks that begin after so many tokens."""
        ids: list[int] = []
        for block in blocks:
            ids += [_id(f"{block.name} {spaced}")] * block.places
        return cls(start, blocks, tuple(ids), spaced)


def recall(segment: Segment, start: int, before: Recalled | None) -> Recalled:
    """The memory of a segment.

    Args:
        segment: A segment with memory.
        start: Tokens before it.
        before: Memory that the prompt already has.

    Raises:
        InputError: If there is some already, or the segment has a text as well.
    """
    if before is not None or segment.text:
        raise InputError(
            "A prompt reads compressed texts in one place, without a text of its own there.",
            "Put all blocks into one segment with an empty text.",
        )
    return Recalled.of_blocks(start, segment.memory)


def no_memory(name: str) -> InputError:
    """The error for a model that cannot read compressed texts."""
    msg = f"{name} cannot read compressed texts."
    return InputError(msg, "Use a local model that transformers runs: NAME with runtime transformers.")


def _id(name: str) -> int:
    return -1 - (int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 2)
