"""A small disk of one's own, in memory: what fills up, and what cannot be written to. Needs root on Linux."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDisk(Exception):
    """This process may not mount anything; the text says why."""


class Disk:
    """A file system in a folder.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        """Give it another size; what is there stays."""
        _mount("-o", f"remount,size={kilobytes}k", str(self.folder))

    def lock(self) -> None:
        """Let nobody write to it, root included."""
        _mount("-o", "remount,ro", str(self.folder))


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Disk]:
    """Mount a disk of so many kilobytes in a folder, which is made.

    Raises:
        NoDisk: If that is not allowed.
    """
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoDisk("there is no mount command") from error
    except subprocess.CalledProcessError as error:
        raise NoDisk(error.stderr.strip() or f"mount failed with {error.returncode}") from error
