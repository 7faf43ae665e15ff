"""The FAISS files of one space: flat ones of a bounded size, searched one after the other, or a single HNSW graph.

A flat file is mapped into memory while it is searched and let go of again, so that neither building nor searching
takes more memory for a longer document. Exhaustive search stays exact, and building is copying; an HNSW graph is
searched faster, but takes minutes to build for each hundred thousand vectors and lies in memory as a whole.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.memory.database import translated

FLAT_LIMIT = 500_000
"""Up to so many vectors are searched exhaustively; above, through an HNSW graph."""
SHARD = 8_192
"""Most vectors of a flat file."""
_HNSW_LINKS = 32
_HNSW_BUILD = 200
_HNSW_SEARCH = 256

Float32Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Shards:
    """Files that are there, in the order of their vectors.

    Args:
        paths: The files.
        total: Vectors in all of them.
        single: The index, if there is only one file; it stays in memory.
    """

    paths: tuple[Path, ...]
    total: int
    single: Any = None

    def search(self, queries: Float32Matrix, limit: int) -> tuple[Float32Matrix, NDArray[np.int64]]:
        """Inner products and ordinals of the nearest vectors of each query (float32 [n, d]), best first: [n, limit]."""
        wanted = np.ascontiguousarray(queries)
        if self.single is not None:
            return self.single.search(wanted, min(limit, self.total))  # type: ignore[no-any-return]
        scores, ordinals, first = [], [], 0
        for path in self.paths:
            index = _read(path)
            found, places = index.search(wanted, min(limit, index.ntotal))
            scores.append(found)
            ordinals.append(places + first)
            first += index.ntotal
        every, where = np.hstack(scores), np.hstack(ordinals)
        best = np.argsort(-every, axis=1, kind="stable")[:, :limit]
        return np.take_along_axis(every, best, 1), np.take_along_axis(where, best, 1)

    def vectors(self, ordinals: Sequence[int]) -> Float32Matrix:
        """The vectors at some ordinals, ascending: float32 [n, d]."""
        wanted, found, first = np.asarray(ordinals), [], 0
        for path in self.paths:
            index = self.single if self.single is not None else _read(path)
            here = wanted[(wanted >= first) & (wanted < first + index.ntotal)] - first
            if len(here):
                found.append(index.reconstruct_batch(here))
            first += index.ntotal
        return np.vstack(found)


def shard_paths(folder: Path, space_id: int) -> list[Path]:
    """The files of a space, in the order of their vectors."""
    return sorted(folder.glob(f"space-{space_id}-*.faiss"))


def open_shards(folder: Path, space_id: int) -> Shards | None:
    """The files of a space; ``None`` if there are none, or one of them cannot be read."""
    paths = shard_paths(folder, space_id)
    try:
        indexes = [_read(path) for path in paths]
    except RuntimeError:
        return None
    total = sum(index.ntotal for index in indexes)
    return Shards(tuple(paths), total, indexes[0] if len(indexes) == 1 else None) if paths else None


def write_shards(folder: Path, space_id: int, matrices: Iterable[Float32Matrix], total: int) -> None:
    """Write the files of a space anew, each in place of the one that was there; others are gone afterwards.

    Args:
        folder: Where they go.
        space_id: The space.
        matrices: Its ``total`` vectors in order, float32 [n, d] each.
        total: How many there are.

    Raises:
        StoreError: If they cannot be written.
    """
    flat = total <= FLAT_LIMIT
    size = SHARD if flat else total
    written: set[Path] = set()
    index: Any = None
    for matrix in _cut(matrices, size):
        index = _index(matrix.shape[1], flat=flat) if index is None else index
        index.add(matrix)
        if index.ntotal == min(size, total - size * len(written)):
            path = folder / f"space-{space_id}-{len(written):04}.faiss"
            _write(path, index)
            written.add(path)
            index = None
    remove_shards(folder, space_id, written)


def remove_shards(folder: Path, space_id: int, but: Collection[Path] = ()) -> None:
    """Delete the files of a space, and that of a version that had a single one."""
    for path in [*shard_paths(folder, space_id), folder / f"space-{space_id}.faiss"]:
        if path not in but:
            path.unlink(missing_ok=True)


def _cut(matrices: Iterable[Float32Matrix], size: int) -> Iterator[Float32Matrix]:
    """The same vectors in matrices that end wherever ``size`` vectors are full."""
    left = size
    for matrix in matrices:
        rest = matrix
        while len(rest):
            part, rest = rest[:left], rest[left:]
            left = left - len(part) or size
            yield part


def _index(dimension: int, *, flat: bool) -> Any:
    import faiss

    if flat:
        return faiss.IndexFlatIP(dimension)
    index = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _HNSW_BUILD
    index.hnsw.efSearch = _HNSW_SEARCH
    return index


def _read(path: Path) -> Any:
    import faiss

    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def _write(path: Path, index: Any) -> None:
    import faiss

    with translated(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".building-")
        os.close(handle)
        try:
            faiss.write_index(index, name)
            with Path(name).open("rb") as written:
                os.fsync(written.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
