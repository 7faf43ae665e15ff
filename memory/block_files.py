"""Files of compressed chunks: written whole or not at all, checked when they are read.

A block writes and checks its file itself (:class:`~rereader.models.kvmemory.KVMemory`); here it is only put into its
place, and what it says that it is must be what its row says.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rereader.memory.database import translated
from rereader.models.files import PRIVATE_FOLDER
from rereader.models.kvmemory import KVMemory, KVPrecision, UnusableBlock
from rereader.schema import StoreError

SUFFIX = ".safetensors"
Load = Callable[[Path], KVMemory]
"""Reads a block; see ``LanguageModel.load_kv``."""


@dataclass(frozen=True)
class Sealed:
    """How a file must look: its bytes, and what the block in it says that it is."""

    bytes: int
    digest: str


class BlockFiles:
    """A folder of blocks, each under its key.

    Args:
        folder: The folder; made when the first block is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the block of a key lies."""
        return self.folder / key[:2] / f"{key}{SUFFIX}"

    def write(self, key: str, block: KVMemory, precision: KVPrecision) -> Sealed:
        """Put a block into its file, all or nothing.

        Raises:
            StoreError: If it cannot be written.
        """
        path = self.path(key)
        with translated(self.folder / "blocks"):
            for folder in (self.folder, path.parent):
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            block.save(path, precision)
            return Sealed(path.stat().st_size, block.digest)

    def read(self, key: str, sealed: Sealed, load: Load) -> KVMemory:
        """A block, checked.

        Raises:
            FileNotFoundError: If there is none.
            StoreError: If the disk does not let it be read.
            UnusableBlock: If it is damaged, or not what it should be.
        """
        path = self.path(key)
        try:
            with path.open("rb"):  # what cannot be opened is not damaged
                pass
            block = load(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            msg = f"Cannot read {path}: {error.strerror or error}."
            raise StoreError(msg, "Check the disk, and who may read that folder.") from error
        if block.digest != sealed.digest:
            raise UnusableBlock("it is another text's")
        return block

    def looks_whole(self, key: str, size: int) -> bool:
        """Whether the file is there and has so many bytes."""
        try:
            return self.path(key).stat().st_size == size
        except OSError:
            return False

    def delete(self, key: str) -> None:
        """Delete the block of a key, if it is there.

        Raises:
            StoreError: If it cannot be deleted.
        """
        self.sweep([self.path(key)])

    def sweep(self, paths: Iterable[Path]) -> None:
        """Delete files of the folder, those that are still there.

        Raises:
            StoreError: If one cannot be deleted.
        """
        with translated(self.folder / "blocks"):
            for path in paths:
                path.unlink(missing_ok=True)

    def others(self, known: Collection[str], age: float) -> list[Path]:
        """Files of no known key, half-written ones included, that are older than so many seconds."""
        before = time.time() - age
        return [path for path in self._all() if path.name.removesuffix(SUFFIX) not in known and _written(path) < before]

    def free(self) -> int:
        """Free bytes of the disk."""
        there = next(folder for folder in (self.folder, *self.folder.absolute().parents) if folder.exists())
        return shutil.disk_usage(there).free

    def _all(self) -> Iterator[Path]:
        for shard in self.folder.glob("??"):
            yield from sorted(path for path in shard.glob("*") if path.is_file())


def size_text(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e3:,.0f} kB"


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return time.time()
