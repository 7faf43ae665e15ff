"""Files of keys and values looked at without the model that made them: whole to the last byte, and what they hold."""

from __future__ import annotations

from pathlib import Path

from rereader.models import scripted_kv


def block_digest_of(path: Path) -> str:
    """What the block in a file says that it is, after its checksum was found right.

    Raises:
        FileNotFoundError: If there is none.
        ImportError: If torch is not installed and needed.
        UnusableBlock: If it is damaged or no block.
    """
    if is_scripted(path):
        return scripted_kv.read(path).digest
    from rereader.models import kvblock, tensorfile

    return kvblock.Manifest.of_metadata(tensorfile.read(path)[1]).digest


def check_text(path: Path) -> None:
    """Make sure that a kept text is whole.

    Raises:
        FileNotFoundError: If there is none.
        ImportError: If torch is not installed.
        UnusableBlock: If it is damaged.
    """
    from rereader.models import tensorfile

    tensorfile.read(path)


def is_scripted(path: Path) -> bool:
    """Whether a scripted model made it: JSON; the header of other files has an even length, which no brace begins."""
    with path.open("rb") as file:
        return file.read(1) == b"{"
