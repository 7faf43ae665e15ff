"""The bank: compressed chunks that a model can read, as files beside the library and rows in it.

A file is named by what decides its content: the model, what was read before the text, the text, and how it was
compressed. So one text that stands in several chunks has one file. Files are written first and their rows second: a row
without a good file means damage, a file without a row that somebody was stopped between the two. Blocks may go at any
time to make room; whoever needs one makes it again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any

from rereader.memory.block_files import BlockFiles, Load, Sealed, size_text
from rereader.memory.chunks import Chunking
from rereader.memory.database import Database
from rereader.memory.records import RecordStore
from rereader.models.kvmemory import KVMemory, KVPrecision, UnusableBlock
from rereader.schema import Chunk, Record, RecordKind, StoreError

LIMIT = 20_000_000_000
"""Bytes that blocks may take if nobody says otherwise; never more than half of what the disk has for them."""
_RESERVE = 200_000_000
"""Bytes of the disk that are left free."""
STALE_SECONDS = 3600.0
"""Age at which a file without a row is nobody's: whoever wrote it would have entered it."""
_BATCH = 500


@dataclass(frozen=True)
class Means:
    """All that decides what the block of a text holds, but for the text.

    Args:
        model: Name of the model.
        fingerprint: Its fingerprint, which decides; the name is for people.
        opening: Digest of what is read before the text.
        scorer: What decides which tokens are kept; of a trained compressor with its digest.
        ratio: Tokens of a text for each that is kept.
        budgets: How places are shared out among heads.
        precision: How numbers are stored.
    """

    model: str
    fingerprint: str
    opening: str
    scorer: str
    ratio: float
    budgets: str
    precision: KVPrecision

    @property
    def deciding(self) -> dict[str, str | float]:
        """What decides, by its name."""
        return {name: value for name, value in asdict(self).items() if name != "model"}

    def key(self, text: str) -> str:
        """What the block of a text is filed under: sha256."""
        return hashlib.sha256(json.dumps([self.deciding, text], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class BlockSet:
    """The blocks of one chunking that are made by the same means."""

    id: int
    chunking: Chunking
    means: Means


@dataclass(frozen=True)
class Entry:
    """A block in its file, and the record by which runs say that they have read it."""

    chunk: Chunk
    key: str
    sealed: Sealed
    places: int
    length: int
    record: Record


@dataclass(frozen=True)
class Held:
    """A block that was read, and its record's id."""

    block: KVMemory
    record: str


class Bank:
    """Keeps blocks under a limit of bytes.

    Args:
        database: The library's.
        records: The library's.
        folder: Where the files go.
        limit: Most bytes of all files; ``None`` leaves that to :data:`LIMIT` and the disk.
    """

    def __init__(self, database: Database, records: RecordStore, folder: Path, limit: int | None = None) -> None:
        self.files = BlockFiles(folder)
        self._database = database
        self._records = records
        self._limit = limit

    @property
    def limit(self) -> int:
        """Most bytes that blocks may take."""
        return self._limit if self._limit is not None else min(LIMIT, (self.held() + self.files.free()) // 2)

    def block_set(self, chunking: Chunking, means: Means) -> BlockSet:
        """The set of a chunking by these means, made if it is not there yet."""
        deciding = means.deciding
        where = " AND ".join(f"{name} = ?" for name in deciding)
        query = f"SELECT id FROM kv_sets WHERE chunking = ? AND {where}"
        row = self._database.row(query, (chunking.id, *deciding.values()))
        if row is None:
            columns, marks = ", ".join(["chunking", "model", *deciding]), ", ".join("?" * (2 + len(deciding)))
            statement = f"INSERT OR IGNORE INTO kv_sets ({columns}) VALUES ({marks})"
            self._database.execute(statement, (chunking.id, means.model, *deciding.values()))
            row = self._database.row(query, (chunking.id, *deciding.values()))
        assert row is not None
        return BlockSet(row["id"], chunking, means)

    def missing(self, block_set: BlockSet) -> list[int]:
        """Chunks without a block, ascending."""
        rows = self._database.rows("SELECT chunk FROM kv_blocks WHERE kv_set = ?", (block_set.id,))
        made = {row["chunk"] for row in rows}
        return [chunk for chunk in range(block_set.chunking.chunks) if chunk not in made]

    def whole(self, keys: Collection[str]) -> set[str]:
        """Those keys that have a block whose file looks whole."""
        rows = self._in("SELECT DISTINCT key, bytes FROM kv_blocks WHERE key IN ({})", keys)
        return {row["key"] for row in rows if self.files.looks_whole(row["key"], row["bytes"])}

    def write(self, block_set: BlockSet, chunk: Chunk, text: str, block: KVMemory) -> Entry:
        """Put the block of a chunk into its file; nobody finds it before it is entered.

        Raises:
            StoreError: If it cannot be written.
        """
        key = block_set.means.key(text)
        sealed = self.files.write(key, block, block_set.means.precision)
        return Entry(chunk, key, sealed, block.places, block.length, _record(block_set.means, chunk, block.digest))

    def adopt(self, block_set: BlockSet, chunk: Chunk, text: str) -> Entry | None:
        """The entry of a chunk whose text has a block already, as another chunk or in another cut."""
        key = block_set.means.key(text)
        row = self._database.row("SELECT * FROM kv_blocks WHERE key = ?", (key,))
        if row is None or not self.files.looks_whole(key, row["bytes"]):
            return None
        record = _record(block_set.means, chunk, row["digest"])
        return Entry(chunk, key, _sealed(row), row["places"], row["length"], record)

    def enter(self, block_set: BlockSet, entries: Sequence[Entry]) -> None:
        """Make written blocks known; call it in the transaction that stores what they have cost."""
        now = time.time()
        with self._database.transaction():
            self._records.add([entry.record for entry in entries])
            for entry in entries:
                seal, span = entry.sealed, entry.chunk.span
                made = (seal.digest, entry.places, entry.length, seal.bytes)
                self._database.execute(
                    "INSERT OR REPLACE INTO kv_blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (block_set.id, entry.chunk.ordinal, span.start, span.end, entry.key, *made, entry.record.id, now),
                )
                # Another chunk of the same text has the file that was just written anew.
                self._database.execute(
                    "UPDATE kv_blocks SET digest = ?, places = ?, length = ?, bytes = ? WHERE key = ?",
                    (*made, entry.key),
                )

    def read(self, block_set: BlockSet, chunks: Collection[int], load: Load) -> tuple[dict[int, Held], dict[int, str]]:
        """Blocks of chunks, each checked against its row.

        Args:
            block_set: The set.
            chunks: Ordinals of chunks.
            load: Reads a file; see ``LanguageModel.load_kv``.

        Returns:
            The blocks by chunk, and by chunk what is wrong with those that cannot be used. These are forgotten, so that
            they are made again.

        Raises:
            StoreError: If the disk does not let a file be read.
        """
        found: dict[int, Held] = {}
        lost: dict[int, str] = {}
        bad: set[str] = set()
        for row in self._rows(block_set, chunks):
            try:
                found[row["chunk"]] = Held(self.files.read(row["key"], _sealed(row), load), row["record_id"])
                continue
            except FileNotFoundError:
                lost[row["chunk"]] = "it is missing"
            except UnusableBlock as error:
                lost[row["chunk"]] = str(error)
            bad.add(row["key"])
        self.forget(bad)
        self._touch(block_set, found)
        return found, lost

    def lost(self, block_set: BlockSet) -> list[int]:
        """Chunks whose file is gone or has another size; they are forgotten, so that they are made again."""
        rows = self._database.rows("SELECT chunk, key, bytes FROM kv_blocks WHERE kv_set = ?", (block_set.id,))
        lost = [row for row in rows if not self.files.looks_whole(row["key"], row["bytes"])]
        self.forget({row["key"] for row in lost})
        return sorted(row["chunk"] for row in lost)

    def held(self) -> int:
        """Bytes of all blocks."""
        row = self._database.row("SELECT COALESCE(SUM(bytes), 0) FROM (SELECT DISTINCT key, bytes FROM kv_blocks)")
        return int(row[0]) if row else 0

    def make_room(self, needed: int, keep: Collection[int]) -> int:
        """Let go of the blocks that were used longest ago until ``needed`` bytes more fit.

        Args:
            needed: Bytes that will be written.
            keep: Ids of sets that must stay, since a run reads them.

        Returns:
            How many blocks went.

        Raises:
            StoreError: If they do not fit beside what must stay, or the disk has no room for them; then none goes.
        """
        self.files.sweep(self.leftovers(STALE_SECONDS))
        limit, held, free = self.limit, self.held(), self.files.free() - _RESERVE
        going: list[str] = []
        for row in self.by_use(keep):
            if held + needed <= limit and needed <= free:
                break
            going.append(row["key"])
            held, free = held - row["bytes"], free + row["bytes"]
        if held + needed > limit:
            raise _too_many(needed, held, limit)
        if needed > free:
            raise _no_room(needed, max(0, free), self.files.folder)
        self.forget(going)
        return len(going)

    def by_use(self, keep: Collection[int]) -> list[Row]:
        """Key and bytes of each block that is in none of the sets to keep, the one used longest ago first."""
        marks = ",".join("?" * len(keep))
        query = (
            "SELECT key, MAX(bytes) AS bytes FROM kv_blocks GROUP BY key "
            f"HAVING SUM(kv_set IN ({marks})) = 0 ORDER BY MAX(used_at), key"
        )
        return self._database.rows(query, list(keep))

    def check_disk(self, needed: int) -> None:
        """Make sure that the disk has room for so many bytes more.

        Raises:
            StoreError: If it has not.
        """
        if needed > (free := self.files.free() - _RESERVE):
            raise _no_room(needed, max(0, free), self.files.folder)

    def sets_of(self, document_ids: Collection[str]) -> list[int]:
        """Ids of the sets of some documents."""
        return [row["id"] for document in document_ids for row in self._database.rows(_SETS_OF, (document,))]

    def keys_of(self, document_id: str) -> list[str]:
        """Keys of a document's blocks."""
        query = f"SELECT DISTINCT key FROM kv_blocks WHERE kv_set IN ({_SETS_OF})"
        return [row["key"] for row in self._database.rows(query, (document_id,))]

    def drop_files(self, keys: Collection[str]) -> None:
        """Delete the files of keys that no row has any more."""
        for key in keys:
            if self._database.row("SELECT 1 FROM kv_blocks WHERE key = ?", (key,)) is None:
                self.files.delete(key)

    def leftovers(self, age: float = 0.0) -> list[Path]:
        """Files that no row names and that are older than so many seconds."""
        return self.files.others({row["key"] for row in self._database.rows("SELECT key FROM kv_blocks")}, age)

    def forget(self, keys: Collection[str]) -> None:
        """Let go of the blocks of keys, first the rows of all chunks that have them; whoever needs one makes it again.

        Raises:
            StoreError: If a file cannot be deleted.
        """
        if keys:
            self._database.execute_many("DELETE FROM kv_blocks WHERE key = ?", [(key,) for key in keys])
            self.drop_files(keys)

    def _rows(self, block_set: BlockSet, chunks: Collection[int]) -> Iterator[Row]:
        query = "SELECT * FROM kv_blocks WHERE chunk IN ({}) AND kv_set = ? ORDER BY chunk"
        yield from self._in(query, sorted(set(chunks)), block_set.id)

    def _in(self, query: str, values: Collection[Any], *more: Any) -> Iterator[Row]:
        """Rows of a query whose ``IN ({})`` is filled with some values at a time, which come before ``more``."""
        wanted = list(values)
        for first in range(0, len(wanted), _BATCH):
            part = wanted[first : first + _BATCH]
            yield from self._database.rows(query.format(",".join("?" * len(part))), (*part, *more))

    def _touch(self, block_set: BlockSet, chunks: Collection[int]) -> None:
        query, now = "UPDATE kv_blocks SET used_at = ? WHERE kv_set = ? AND chunk = ?", time.time()
        if chunks:
            self._database.execute_many(query, [(now, block_set.id, chunk) for chunk in chunks])


_SETS_OF = "SELECT kv_sets.id FROM kv_sets JOIN chunkings ON chunkings.id = chunking WHERE document_id = ?"


def _sealed(row: Row) -> Sealed:
    return Sealed(row["bytes"], row["digest"])


def _record(means: Means, chunk: Chunk, digest: str) -> Record:
    """What says that a run has read a block: the block's digest, and the characters that it stands for."""
    return Record.create(
        run_id=chunk.span.document_id,
        kind=RecordKind.KV,
        content=digest,
        agent="compressor",
        spans=[chunk.span],
        ordinal=chunk.ordinal,
        prompt_hash=means.opening,
        model=means.model,
    )


def _too_many(needed: int, held: int, limit: int) -> StoreError:
    beside = f" beside {size_text(held)} that must stay" if held else ""
    msg = f"Compressed memories take about {size_text(needed)}{beside}; they may take {size_text(limit)} in all."
    return StoreError(msg, "Raise kv_megabytes in the configuration, or choose a higher ratio or precision=int8.")


def _no_room(needed: int, free: int, folder: Path) -> StoreError:
    msg = f"Compressed memories take about {size_text(needed)}; the disk of {folder} has {size_text(free)} for them."
    return StoreError(msg, "Free some space, choose a higher ratio or precision=int8, or another --workspace.")
