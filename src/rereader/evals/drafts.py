"""A text put together part by part, and where each part stands."""

from __future__ import annotations

from collections.abc import Iterable


class Draft:
    """Parts of a text in order; ``size`` is its length so far, in code points."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.size = 0

    def add(self, part: str) -> tuple[int, int]:
        """Append a part; its span ``[start, end)``."""
        start = self.size
        self._parts.append(part)
        self.size += len(part)
        return start, self.size

    def text(self) -> str:
        """All parts, joined."""
        return "".join(self._parts)


def join_lines(lines: Iterable[str]) -> tuple[str, list[tuple[int, int]]]:
    """The lines one below the other, and the span of each without its line end."""
    draft, spans = Draft(), []
    for line in lines:
        spans.append(draft.add(line))
        draft.add("\n")
    return draft.text(), spans
