"""Keys and values of the last prompts' prefixes, so that the same beginning is not read twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rereader.models.rendering import Rendered


class Held(Protocol):
    """What the store keeps: it needs to know the size only."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


H = TypeVar("H", bound=Held)
Ids = tuple[int, ...]


@dataclass(frozen=True)
class PrefixStats:
    """Prefixes found and computed since the start, tokens that were not read again, bytes held now."""

    found: int = 0
    computed: int = 0
    reused_tokens: int = 0
    nbytes: int = 0


class PrefixStore(Generic[H]):
    """Least recently used prefixes by their token ids, bounded in number and bytes. Not thread-safe.

    A prompt's prefix is always computed boundary by boundary, on its own, whether or not the store knows a part of
    it. A reply therefore never depends on what the store happens to hold: only the time does.

    Args:
        max_entries: Most prefixes kept; 0 keeps none.
        max_bytes: Most bytes kept; a larger prefix is not kept at all.
    """

    def __init__(self, max_entries: int = 8, max_bytes: int = 512 << 20) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Ids, H] = OrderedDict()
        self._found = self._computed = self._reused = 0

    @property
    def stats(self) -> PrefixStats:
        """What the store did so far."""
        return PrefixStats(self._found, self._computed, self._reused, self._nbytes())

    def resolve(self, prompts: Sequence[Rendered], extend: Callable[[H | None, int, Ids], H]) -> list[H | None]:
        """The prefix of each prompt up to its last boundary, ``None`` for a prompt without boundaries.

        Args:
            prompts: The prompts of one batch; a prefix that several share is computed once.
            extend: ``extend(prefix, length, ids)`` appends ``ids`` to the ``length`` tokens of ``prefix``.
        """
        batch: dict[Ids, H] = {}
        return [self._chain(prompt, extend, batch) for prompt in prompts]

    def clear(self) -> None:
        """Forget everything that is kept."""
        self._entries.clear()

    def _chain(self, prompt: Rendered, extend: Callable[[H | None, int, Ids], H], batch: dict[Ids, H]) -> H | None:
        held, length = self._longest(prompt, batch)
        self._found += held is not None
        self._reused += length
        for boundary in prompt.boundaries:
            if boundary <= length:
                continue
            held = extend(held, length, prompt.ids[length:boundary])
            length = boundary
            self._computed += 1
            batch[prompt.ids[:length]] = held
            self._keep(prompt.ids[:length], held)
        return held

    def _longest(self, prompt: Rendered, batch: dict[Ids, H]) -> tuple[H | None, int]:
        for boundary in reversed(prompt.boundaries):
            ids = prompt.ids[:boundary]
            held = batch.get(ids) or self._entries.get(ids)
            if held is not None:
                batch[ids] = held
                self._keep(ids, held)
                return held, boundary
        return None, 0

    def _keep(self, ids: Ids, held: H) -> None:
        if held.nbytes > self._max_bytes:
            return
        self._entries[ids] = held
        self._entries.move_to_end(ids)
        while len(self._entries) > self._max_entries or self._nbytes() > self._max_bytes:
            self._entries.popitem(last=False)

    def _nbytes(self) -> int:
        return sum(held.nbytes for held in self._entries.values())
