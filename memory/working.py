"""Working memory as a ledger: which records are in it at each version. Graph state holds the version number only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from sqlite3 import Row
from typing import Literal

from rereader.memory.database import Database
from rereader.memory.records import RecordStore
from rereader.schema import Record

Slot = Literal["quote", "note", "question", "draft", "desk"]


@dataclass(frozen=True)
class Entry:
    """A record in working memory, the slot it fills, and whether nothing but its user may drop it."""

    slot: str
    record: Record
    pinned: bool = False


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
        *,
        pinned: Sequence[Record] = (),
        unpinned: Sequence[Record] = (),
    ) -> int:
        """Append to version ``version`` and return the new version's number.

        A pinned record stays whatever is dropped, until it is unpinned. A node that runs again after a kill writes the
        same rows again, which changes nothing.
        """
        changes = [("unpin", "", record) for record in unpinned]
        changes += [("drop", "", record) for record in dropped]
        changes += [("add", slot, record) for slot, record in added]
        changes += [("pin", "", record) for record in pinned]
        if not changes:
            return version
        rows = [
            (self._run_id, version + 1, i, change, slot, record.id) for i, (change, slot, record) in enumerate(changes)
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
        members, pinned = self._members(version)
        wanted = [identity for identity, held in members.items() if slot in (None, held)]
        return [Entry(members[record.id], record, record.id in pinned) for record in self._records.get(wanted)]

    def read_two(self, first: int, second: int) -> tuple[list[Entry], list[Entry]]:
        """Entries at two versions; a record that stands in both is read once."""
        held = [self._members(version) for version in (first, second)]
        records = self._records.find(list(dict.fromkeys(identity for members, _ in held for identity in members)))
        one, two = (
            [Entry(slot, records[identity], identity in pinned) for identity, slot in members.items()]
            for members, pinned in held
        )
        return one, two

    def changes(self, before: int, after: int) -> list[tuple[str, str, Record]]:
        """What the versions after ``before`` up to ``after`` did: add, drop, pin or unpin; the slot added to; what."""
        rows = self._database.rows(
            "SELECT change, slot, record_id FROM working_memory WHERE run_id = ? AND version > ? AND version <= ? "
            "ORDER BY version, ordinal",
            (self._run_id, before, after),
        )
        records = self._records.get([row["record_id"] for row in rows])
        return [(row["change"], row["slot"], record) for row, record in zip(rows, records, strict=True)]

    def history(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Every version from the first on: its number, and the slot of each record that it holds."""
        members: dict[str, str] = {}
        pinned: set[str] = set()
        rows = self._database.rows(
            "SELECT version, change, slot, record_id FROM working_memory WHERE run_id = ? ORDER BY version, ordinal",
            (self._run_id,),
        )
        for version, changes in groupby(rows, key=itemgetter("version")):
            for row in changes:
                _change(row, members, pinned)
            yield version, dict(members)

    def left(self, version: int, slot: Slot) -> list[Record]:
        """Records of a slot that were in it before a version and are not any more, in the order they were added."""
        added = [row["record_id"] for row in self._rows(version) if row["change"] == "add" and row["slot"] == slot]
        held = {entry.record.id for entry in self.read(version, slot)}
        return self._records.get([identity for identity in dict.fromkeys(added) if identity not in held])

    def _members(self, version: int) -> tuple[dict[str, str], set[str]]:
        """The slot of each record at a version, and which of them are pinned."""
        members: dict[str, str] = {}
        pinned: set[str] = set()
        for row in self._rows(version):
            _change(row, members, pinned)
        return members, pinned

    def _rows(self, version: int) -> list[Row]:
        return self._database.rows(
            "SELECT change, slot, record_id FROM working_memory WHERE run_id = ? AND version <= ? "
            "ORDER BY version, ordinal",
            (self._run_id, version),
        )


def _change(row: Row, members: dict[str, str], pinned: set[str]) -> None:
    """Follow one change: add, drop, pin or unpin."""
    change, identity = row["change"], row["record_id"]
    if change == "add":
        members[identity] = row["slot"]
    elif change == "pin":
        pinned.add(identity)
    elif change == "unpin":
        pinned.discard(identity)
    elif identity not in pinned:
        members.pop(identity, None)
