"""The blocks of a Markdown file that a command writes: what stands between ``<!-- bench:NAME -->`` and its end."""

from __future__ import annotations

import re
from pathlib import Path

from rereader.schema.errors import InputError, StoreError


def block_of(text: str, marker: str) -> str | None:
    """What stands in a block; ``None`` unless its two markers are there once."""
    opening, closing = _markers(marker)
    found = re.findall(f"{re.escape(opening)}\n(.*?)\n{re.escape(closing)}", text, re.DOTALL)
    return found[0] if len(found) == 1 and text.count(opening) == 1 else None


def markers_in(text: str) -> list[str]:
    """The names of a text's blocks, in order."""
    return re.findall(r"<!-- bench:([\w.-]+) -->", text)


def update_file(path: Path, marker: str, table: str) -> None:
    """Replace what stands in a block.

    Raises:
        InputError: If the file or one of its two markers is missing, or the first comes more than once.
        StoreError: If the file cannot be written.
    """
    opening, closing = _markers(marker)
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Give a Markdown file that holds the markers.")
    text = path.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(opening)}.*?{re.escape(closing)}", re.DOTALL)
    if text.count(opening) != 1 or not block.search(text):
        raise InputError(f"{path} has no block {marker!r}.", f"Write {opening} and {closing} where the table belongs.")
    try:
        path.write_text(block.sub(lambda _: f"{opening}\n{table}\n{closing}", text), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"Cannot write {path}: {error.strerror}.", "Check its permissions.") from error


def _markers(marker: str) -> tuple[str, str]:
    return f"<!-- bench:{marker} -->", f"<!-- /bench:{marker} -->"
