"""Working memory as a ledger: which records are in it at each version. Graph state holds the version number only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rereader.memory.database import Database
from rereader.memory.records import RecordStore
from rereader.schema import Record

Slot = Literal["quote", "note", "question", "draft", "desk"]


@dataclass(frozen=True)
class Entry:
    """A record in working memory and the slot it fills."""

    slot: str
    record: Record


class WorkingMemory:
    """The ledger of one run. Version 0 is empty; every write makes the next version and keeps all earlier ones."""

    def __init__(self, database: Database, records: RecordStore, run_id: str) -> None:
        self._database = database
        self._records = records
        self._run_id = run_id

    def write(
        self,
        version: int,
        added: Sequence[tuple[Slot, Record]] = (),
        dropped: Sequence[Record] = (),
    ) -> int:
        """Append to version ``version`` and return the new version's number.

        A node that runs again after a kill writes the same rows again, which changes nothing.
        """
        if not added and not dropped:
            return version
        rows = [(self._run_id, version + 1, i, "drop", "", record.id) for i, record in enumerate(dropped)]
        rows += [
            (self._run_id, version + 1, len(dropped) + i, "add", slot, record.id)
            for i, (slot, record) in enumerate(added)
        ]
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM working_memory WHERE run_id = ? AND version = ?", (self._run_id, version + 1)
            )
            self._records.add([record for _, record in added])
            self._database.execute_many("INSERT INTO working_memory VALUES (?, ?, ?, ?, ?, ?)", rows)
        return version + 1

    def read(self, version: int, slot: Slot | None = None) -> list[Entry]:
        """Entries at a version in the order they were added; of one slot if named."""
        rows = self._database.rows(
            "SELECT change, slot, record_id FROM working_memory WHERE run_id = ? AND version <= ? "
            "ORDER BY version, ordinal",
            (self._run_id, version),
        )
        members: dict[str, str] = {}
        for row in rows:
            if row["change"] == "add":
                members[row["record_id"]] = row["slot"]
            else:
                members.pop(row["record_id"], None)
        wanted = [identity for identity, held in members.items() if slot in (None, held)]
        return [Entry(members[record.id], record) for record in self._records.get(wanted)]
