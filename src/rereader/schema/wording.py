"""How counts and ids are written for people."""

from __future__ import annotations

_SHORT = 12


def counted(number: int, one: str, many: str = "") -> str:
    """``1 document``, ``2,000 documents``.

    Args:
        number: How many.
        one: What one is called.
        many: What several are called, where that is not ``one`` with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def short(identity: str) -> str:
    """The beginning of an id or a key, long enough to name one thing of a workspace."""
    return identity[:_SHORT]
