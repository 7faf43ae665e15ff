"""The last text that was read, which questions are put to."""

from __future__ import annotations

from dataclasses import dataclass

from rereader.models import kv


@dataclass(frozen=True)
class Context:
    """A text that was read: tokens are put after it and taken off again, and nothing is copied.

    Args:
        ids: Its tokens.
        boundaries: Where reading it paused, its end included.
        cache: Keys and values of its tokens, one row; what stands after them does not count.
        exact: Whether they are as the model made them.
        memory_end: Where compressed texts end in it; 0 if it has none.
        deepest: The last layer that has keys; ``None`` if all have.
    """

    ids: tuple[int, ...]
    boundaries: tuple[int, ...]
    cache: kv.RoomyCache
    exact: bool = True
    memory_end: int = 0
    deepest: int | None = None

    @property
    def length(self) -> int:
        """Tokens of the text."""
        return len(self.ids)

    def shared(self, ids: tuple[int, ...], boundaries: tuple[int, ...]) -> int:
        """Length of the beginning that another text, read boundary by boundary, would share."""
        held = 0
        for mine, theirs in zip(self.boundaries, boundaries, strict=False):
            if mine != theirs or ids[held:mine] != self.ids[held:mine]:
                break
            held = mine
        return held

    def reaches(self, deepest: int | None) -> bool:
        """Whether it was read as deep as some layer; ``None`` means through all of them."""
        return self.deepest is None or (deepest is not None and deepest <= self.deepest)

    def rewind(self) -> None:
        """Take off what was put after the text."""
        kv.rewind(self.cache, self.length)
