"""Vectors of a document's memories and passages: rows in the library, searched through FAISS files beside it.

The table is the truth. The files are written beside, synced and renamed, and rebuilt from the table when they are
missing, damaged or out of step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rereader.memory.chunks import Chunking
from rereader.memory.database import Database
from rereader.memory.shards import Shards, open_shards, remove_shards, write_shards

_READ_ROWS = 1024
_SAMPLE = 64


@dataclass(frozen=True)
class Space:
    """The vectors of one kind (raw, gist-extract, gist-model) that one embedder made for one chunking."""

    id: int
    chunking: Chunking
    kind: str
    embedder: str
    complete: bool


@dataclass(frozen=True)
class Unit:
    """What one vector stands for: characters ``[start, end)`` of the document or, for written gists, of the gist."""

    chunk: int
    start: int
    end: int


@dataclass(frozen=True)
class Hit:
    """A unit found, with its cosine similarity."""

    unit: Unit
    ordinal: int
    score: float


class VectorStore:
    """Spaces of vectors and their FAISS files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._open: dict[int, Shards] = {}

    def space(self, chunking: Chunking, kind: str, embedder: str) -> Space:
        """The space of this kind and embedder, made if it is not there yet."""
        key = (chunking.id, kind, embedder)
        query = "SELECT id, complete FROM spaces WHERE chunking = ? AND kind = ? AND embedder = ?"
        row = self._database.row(query, key)
        if row is None:
            self._database.execute("INSERT OR IGNORE INTO spaces (chunking, kind, embedder) VALUES (?, ?, ?)", key)
            row = self._database.row(query, key)
        assert row is not None
        return Space(row["id"], chunking, kind, embedder, bool(row["complete"]))

    def count(self, space: Space) -> int:
        """Vectors stored so far."""
        return self._count(space.id)

    def add(self, space: Space, first: int, units: Sequence[Unit], vectors: NDArray[np.float32]) -> None:
        """Store a finished batch at ordinals ``first``, ``first + 1``, ...; vectors are float32 ``[n, d]``."""
        self._database.execute_many(
            "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?, ?, ?)",
            [
                (space.id, first + i, unit.chunk, unit.start, unit.end, vectors[i].astype("<f4").tobytes())
                for i, unit in enumerate(units)
            ],
        )

    def finish(self, space: Space) -> Space:
        """Mark a space complete and write its FAISS files."""
        self._database.execute("UPDATE spaces SET complete = 1 WHERE id = ?", (space.id,))
        self.rebuild(space.id)
        return Space(space.id, space.chunking, space.kind, space.embedder, True)

    def search(self, space: Space, queries: NDArray[np.float32], limit: int) -> list[list[Hit]]:
        """The ``limit`` nearest units of each query (float32 ``[n, d]``, unit length), best first."""
        shards = self._shards(space)
        if not shards.total:
            return [[] for _ in queries]
        scores, ordinals = shards.search(queries, limit)
        units = self._units(space, {int(o) for o in ordinals.ravel() if o >= 0})
        return [
            [Hit(units[int(o)], int(o), float(s)) for s, o in zip(row_scores, row_ordinals, strict=True) if o >= 0]
            for row_scores, row_ordinals in zip(scores, ordinals, strict=True)
        ]

    def of_chunks(self, space: Space, chunks: Sequence[int]) -> tuple[list[Unit], NDArray[np.float32]]:
        """All units of some chunks with their vectors."""
        marks = ",".join("?" * len(chunks))
        rows = self._database.rows(
            f"SELECT chunk, start, end, vector FROM vectors WHERE space = ? AND chunk IN ({marks}) ORDER BY ordinal",
            (space.id, *chunks),
        )
        units = [Unit(row["chunk"], row["start"], row["end"]) for row in rows]
        return units, _matrix([row["vector"] for row in rows])

    def drop_files(self, space_ids: Sequence[int]) -> None:
        """Delete the FAISS files of removed spaces."""
        for identity in space_ids:
            self._open.pop(identity, None)
            remove_shards(self._folder, identity)

    def _units(self, space: Space, ordinals: set[int]) -> dict[int, Unit]:
        marks = ",".join("?" * len(ordinals))
        rows = self._database.rows(
            f"SELECT ordinal, chunk, start, end FROM vectors WHERE space = ? AND ordinal IN ({marks})",
            (space.id, *ordinals),
        )
        return {row["ordinal"]: Unit(row["chunk"], row["start"], row["end"]) for row in rows}

    def _shards(self, space: Space) -> Shards:
        if space.id not in self._open:
            found = open_shards(self._folder, space.id)
            self._open[space.id] = found if found and found.total == self.count(space) else self.rebuild(space.id)
        return self._open[space.id]

    def rebuild(self, space_id: int) -> Shards:
        """Write the FAISS files of a space anew from the table; other processes see the old ones or the new ones."""
        write_shards(self._folder, space_id, self._matrices(space_id), self._count(space_id))
        self._open[space_id] = open_shards(self._folder, space_id) or Shards((), 0)
        return self._open[space_id]

    def files_hold(self, space_id: int, *, whole: bool) -> bool:
        """Whether the FAISS files of a space hold the vectors of the table: all of them, or some spread over them."""
        total = self._count(space_id)
        shards = open_shards(self._folder, space_id)
        if not total or shards is None or shards.total != total:
            return not total
        step = 1 if whole else max(1, total // _SAMPLE)
        places = range(0, total, step)
        parts = (places[first : first + _READ_ROWS] for first in range(0, len(places), _READ_ROWS))
        return all(self._same(space_id, shards, part) for part in parts)

    def _same(self, space_id: int, shards: Shards, ordinals: Sequence[int]) -> bool:
        marks = ",".join("?" * len(ordinals))
        rows = self._database.rows(
            f"SELECT vector FROM vectors WHERE space = ? AND ordinal IN ({marks}) ORDER BY ordinal",
            (space_id, *ordinals),
        )
        wanted, kept = _matrix([row["vector"] for row in rows]), shards.vectors(ordinals)
        return wanted.shape == kept.shape and bool((wanted == kept).all())

    def _count(self, space_id: int) -> int:
        row = self._database.row("SELECT COUNT(*) FROM vectors WHERE space = ?", (space_id,))
        return int(row[0]) if row else 0

    def _matrices(self, space_id: int) -> Iterator[NDArray[np.float32]]:
        last = -1
        while rows := self._database.rows(
            "SELECT ordinal, vector FROM vectors WHERE space = ? AND ordinal > ? ORDER BY ordinal LIMIT ?",
            (space_id, last, _READ_ROWS),
        ):
            last = rows[-1]["ordinal"]
            yield _matrix([row["vector"] for row in rows])


def _matrix(blobs: Sequence[bytes]) -> NDArray[np.float32]:
    if not blobs:
        return np.zeros((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1).astype(np.float32)
