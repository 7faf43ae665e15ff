"""Chunks of a document, and the passages inside them that search works on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Row

from rereader.memory.database import Database
from rereader.memory.fulltext import FullText
from rereader.schema import Chunk, Span

_BATCH = 2_000


@dataclass(frozen=True)
class Chunking:
    """One way a document was cut: ``settings`` names sizes and tokenizer, ``id`` is its key in the library."""

    id: int
    document_id: str
    settings: str
    chunks: int
    tokens: int


@dataclass(frozen=True)
class Passage:
    """A run of whole sentences inside one chunk; the unit of search and of evidence."""

    id: int
    chunking: int
    chunk: int
    span: Span


class ChunkStore:
    """Chunkings, chunks and passages."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fulltext = FullText(database)

    def chunking(self, document_id: str, settings: str) -> Chunking | None:
        """The finished chunking of a document under these settings."""
        row = self._database.row(
            "SELECT * FROM chunkings WHERE document_id = ? AND settings = ?", (document_id, settings)
        )
        return Chunking(**dict(row)) if row else None

    def newest(self, document_id: str) -> Chunking | None:
        """The way in which a document was cut last."""
        row = self._database.row(
            "SELECT * FROM chunkings WHERE document_id = ? ORDER BY id DESC LIMIT 1", (document_id,)
        )
        return Chunking(**dict(row)) if row else None

    def add(
        self,
        document_id: str,
        settings: str,
        chunks: Sequence[Chunk],
        passages: Iterable[tuple[int, int, int, str]],
    ) -> Chunking:
        """Store a chunking whole: its chunks, and its passages as ``(chunk ordinal, start, end, text)``."""
        tokens = sum(chunk.token_count for chunk in chunks)
        with self._database.transaction():
            existing = self.chunking(document_id, settings)
            if existing:
                return existing
            self._database.execute(
                "INSERT INTO chunkings (document_id, settings, chunks, tokens) VALUES (?, ?, ?, ?)",
                (document_id, settings, len(chunks), tokens),
            )
            stored = self.chunking(document_id, settings)
            assert stored is not None
            self._database.execute_many(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
                ((stored.id, c.ordinal, c.id, c.span.start, c.span.end, c.token_count) for c in chunks),
            )
            self._fulltext.create(stored.id)
            self._add_passages(stored.id, passages)
        return stored

    def _add_passages(self, chunking: int, passages: Iterable[tuple[int, int, int, str]]) -> None:
        row = self._database.row("SELECT COALESCE(MAX(id), 0) FROM passages")
        identity = row[0] if row else 0
        batch: list[tuple[int, int, int, int, str]] = []
        for chunk, start, end, text in passages:
            identity += 1
            batch.append((identity, chunk, start, end, text))
            if len(batch) >= _BATCH:
                self._write_passages(chunking, batch)
                batch = []
        self._write_passages(chunking, batch)

    def refill(self, chunking: int, slice_of: Callable[[str, int, int], str]) -> None:
        """Make the full-text index of a chunking anew from its passages; one that was removed meanwhile gets none.

        Args:
            chunking: Id of the chunking.
            slice_of: A document's characters from one offset up to another.
        """
        with self._database.transaction():
            row = self._database.row("SELECT document_id FROM chunkings WHERE id = ?", (chunking,))
            self._fulltext.drop(chunking)
            if row is None:
                return
            self._fulltext.create(chunking)
            passages = self._database.rows("SELECT id, start, end FROM passages WHERE chunking = ?", (chunking,))
            for first in range(0, len(passages), _BATCH):
                part = passages[first : first + _BATCH]
                texts = [(one["id"], slice_of(row["document_id"], one["start"], one["end"])) for one in part]
                self._fulltext.add(chunking, texts)

    def _write_passages(self, chunking: int, batch: Sequence[tuple[int, int, int, int, str]]) -> None:
        self._database.execute_many(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?)",
            [(identity, chunking, chunk, start, end) for identity, chunk, start, end, _ in batch],
        )
        self._fulltext.add(chunking, [(identity, text) for identity, _, _, _, text in batch])

    def chunk(self, chunking: Chunking, ordinal: int) -> Chunk:
        """One chunk by its ordinal."""
        return self.range(chunking, ordinal, ordinal + 1)[0]

    def range(self, chunking: Chunking, first: int = 0, last: int | None = None) -> list[Chunk]:
        """Chunks ``[first, last)`` in document order."""
        rows = self._database.rows(
            "SELECT id, ordinal, start, end, tokens FROM chunks WHERE chunking = ? AND ordinal >= ? AND ordinal < ? "
            "ORDER BY ordinal",
            (chunking.id, first, chunking.chunks if last is None else last),
        )
        return [
            Chunk(
                id=row["id"],
                span=Span(document_id=chunking.document_id, start=row["start"], end=row["end"]),
                token_count=row["tokens"],
                ordinal=row["ordinal"],
            )
            for row in rows
        ]

    def overlapping(self, chunking: Chunking, start: int, end: int) -> list[Chunk]:
        """Chunks that share a character with ``[start, end)`` of the document, in order."""
        found = self._database.row(
            "SELECT MIN(ordinal), MAX(ordinal) FROM chunks WHERE chunking = ? AND start < ? AND end > ?",
            (chunking.id, end, start),
        )
        return [] if found is None or found[0] is None else self.range(chunking, found[0], found[1] + 1)

    def passages_by_id(self, chunking: Chunking, identities: Sequence[int]) -> dict[int, Passage]:
        """The named passages of a chunking."""
        marks = ",".join("?" * len(identities))
        rows = self._database.rows(
            f"SELECT id, chunk, start, end FROM passages WHERE id IN ({marks})", list(identities)
        )
        return {row["id"]: self._passage(chunking, row) for row in rows}

    def passages(self, chunking: Chunking, first: int = 0, last: int | None = None) -> list[Passage]:
        """Passages of chunks ``[first, last)`` in document order."""
        rows = self._database.rows(
            "SELECT id, chunk, start, end FROM passages WHERE chunking = ? AND chunk >= ? AND chunk < ? ORDER BY id",
            (chunking.id, first, chunking.chunks if last is None else last),
        )
        return [self._passage(chunking, row) for row in rows]

    def passages_of(self, chunking: Chunking, chunks: Sequence[int]) -> list[Passage]:
        """Passages of the named chunks in document order."""
        marks = ",".join("?" * len(chunks))
        rows = self._database.rows(
            f"SELECT id, chunk, start, end FROM passages WHERE chunking = ? AND chunk IN ({marks}) ORDER BY id",
            (chunking.id, *chunks),
        )
        return [self._passage(chunking, row) for row in rows]

    @staticmethod
    def _passage(chunking: Chunking, row: Row) -> Passage:
        span = Span(document_id=chunking.document_id, start=row["start"], end=row["end"])
        return Passage(id=row["id"], chunking=chunking.id, chunk=row["chunk"], span=span)
