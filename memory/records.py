"""Append-only records and the gists of a document's chunks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from sqlite3 import Row

from rereader.memory.chunks import Chunking
from rereader.memory.database import Database
from rereader.schema import Record, RecordKind, Span

_BATCH = 500
_OF_RUN = """WITH RECURSIVE line(id, until) AS (
        SELECT ?1, 9223372036854775807 UNION ALL
        SELECT runs.parent, MIN(runs.forked_at, line.until) FROM line JOIN runs ON runs.id = line.id
        WHERE runs.forked_at IS NOT NULL)
    SELECT records.* FROM line JOIN records ON records.run_id = line.id AND records.step <= line.until
    ORDER BY records.step, records.ordinal, records.id"""
"""Records of a run and of those that it was forked from, as far as they had come then."""


class RecordStore:
    """Writes records once and never changes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Sequence[Record]) -> None:
        """Insert records; one that is there already (same id, hence same content) is left alone."""
        with self._database.transaction():
            for record in records:
                added = self._database.execute(
                    "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        record.id,
                        record.run_id,
                        record.kind.value,
                        record.content,
                        json.dumps(record.parents),
                        record.step,
                        record.ordinal,
                        record.agent,
                        record.prompt_hash,
                        record.model,
                    ),
                )
                if added:
                    self._database.execute_many(
                        "INSERT INTO record_spans VALUES (?, ?, ?, ?, ?)",
                        [(record.id, i, s.document_id, s.start, s.end) for i, s in enumerate(record.spans)],
                    )

    def get(self, identities: Sequence[str]) -> list[Record]:
        """The named records, in the order asked."""
        found = self.find(identities)
        return [found[identity] for identity in identities]

    def find(self, identities: Sequence[str]) -> dict[str, Record]:
        """Those of the named records that are there, by id."""
        found: dict[str, Record] = {}
        for start in range(0, len(identities), _BATCH):
            part = identities[start : start + _BATCH]
            marks = ",".join("?" * len(part))
            rows = self._database.rows(f"SELECT * FROM records WHERE id IN ({marks})", part)
            found.update({record.id: record for record in self._assemble(rows)})
        return found

    def of_run(self, run_id: str) -> list[Record]:
        """All records of a run in the order written; a fork's begin with those of its parent up to its step."""
        return self._assemble(self._database.rows(_OF_RUN, (run_id,)))

    def touching(self, span: Span) -> list[Record]:
        """All records, of whatever run, that were made from a place in a document, those of earlier places first."""
        rows = self._database.rows(
            "SELECT records.* FROM records JOIN "
            "(SELECT record_id, MIN(start) AS first FROM record_spans "
            "WHERE document_id = ? AND start < ? AND end > ? GROUP BY record_id) ON record_id = id "
            "ORDER BY first, id",
            (span.document_id, span.end, span.start),
        )
        return self._assemble(rows)

    def add_gists(self, chunking: Chunking, method: str, gists: Sequence[tuple[int, Record]]) -> None:
        """Store gists given as ``(chunk ordinal, record)``."""
        with self._database.transaction():
            self.add([record for _, record in gists])
            self._database.execute_many(
                "INSERT OR IGNORE INTO gists VALUES (?, ?, ?, ?)",
                [(chunking.id, method, chunk, record.id) for chunk, record in gists],
            )

    def gist_count(self, chunking: Chunking, method: str) -> int:
        """How many chunks have a gist; gists are written in chunk order."""
        row = self._database.row("SELECT COUNT(*) FROM gists WHERE chunking = ? AND method = ?", (chunking.id, method))
        return int(row[0]) if row else 0

    def gists(self, chunking: Chunking, method: str, chunks: Sequence[int]) -> dict[int, Record]:
        """The gist of each named chunk."""
        marks = ",".join("?" * len(chunks))
        rows = self._database.rows(
            f"SELECT chunk, record_id FROM gists WHERE chunking = ? AND method = ? AND chunk IN ({marks})",
            (chunking.id, method, *chunks),
        )
        records = self.get([row["record_id"] for row in rows])
        return {row["chunk"]: record for row, record in zip(rows, records, strict=True)}

    def longest_gist(self, chunking: Chunking, method: str) -> str:
        """The gist with the most characters; empty if there is none."""
        row = self._database.row(
            "SELECT content FROM gists JOIN records ON records.id = record_id WHERE chunking = ? AND method = ? "
            "ORDER BY LENGTH(content) DESC LIMIT 1",
            (chunking.id, method),
        )
        return str(row["content"]) if row else ""

    def _assemble(self, rows: Sequence[Row]) -> list[Record]:
        spans: dict[str, list[Span]] = {row["id"]: [] for row in rows}
        identities = list(spans)
        for start in range(0, len(identities), _BATCH):
            part = identities[start : start + _BATCH]
            marks = ",".join("?" * len(part))
            for row in self._database.rows(
                "SELECT record_id, document_id, start, end FROM record_spans "
                f"WHERE record_id IN ({marks}) ORDER BY record_id, position",
                part,
            ):
                span = Span(document_id=row["document_id"], start=row["start"], end=row["end"])
                spans[row["record_id"]].append(span)
        return [_record(row, spans[row["id"]]) for row in rows]


def _record(row: Row, spans: Sequence[Span]) -> Record:
    return Record(
        id=row["id"],
        run_id=row["run_id"],
        kind=RecordKind(row["kind"]),
        content=row["content"],
        spans=tuple(spans),
        parents=tuple(json.loads(row["parents"])),
        step=row["step"],
        ordinal=row["ordinal"],
        agent=row["agent"],
        prompt_hash=row["prompt_hash"],
        model=row["model"],
    )
