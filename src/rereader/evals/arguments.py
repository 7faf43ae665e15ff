"""What options of ``rereader bench`` say: names with commas between them, and a split."""

from __future__ import annotations

from rereader.evals.items import SPLITS, Split
from rereader.schema.errors import InputError


def listed(text: str | None) -> list[str]:
    """The names in ``a, b,c``, without the space around them; none of no text."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def split_named(name: str) -> Split:
    """The split of this name.

    Raises:
        InputError: If there is none.
    """
    for split in SPLITS:
        if split == name:
            return split
    raise InputError(f"There is no split {name!r}.", f"Choose one of: {', '.join(SPLITS)}.")
