"""Working memory as a ledger: which records are in it at each version. Graph state holds the version number only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from sqlite3 import Row
from typing import Literal, NamedTuple

from rereader.memory.database import Database
from rereader.memory.records import RecordStore
from rereader.schema import Record

Slot = Literal["quote", "note", "question", "draft", "desk"]
_NEWEST = 2**63 - 1
"""Above any version: the largest number of SQLite."""


@dataclass(frozen=True)
class Entry:
    """A record in working memory, the slot it fills, and whether nothing but its user may drop it."""

    slot: str
    record: Record
    pinned: bool = False


@dataclass(frozen=True)
class Differing:
    """A version of a working memory as far as it differs from another: how many entries it has, those that differ."""

    count: int
    entries: list[Entry]


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
        held = self._held(version)
        wanted = [identity for identity, filled in held.slots.items() if slot in (None, filled)]
        return [held.entry(record) for record in self._records.get(wanted)]

    def read_two(self, first: int, second: int) -> tuple[list[Entry], list[Entry]]:
        """Entries at two versions; a record that stands in both is read once."""
        both = [self._held(version) for version in (first, second)]
        records = self._records.find(list(dict.fromkeys(identity for held in both for identity in held.slots)))
        one, two = ([held.entry(records[identity]) for identity in held.slots] for held in both)
        return one, two

    def differing(self, first: int, second: int) -> tuple[Differing, Differing]:
        """Two versions without the entries that are the same in both, which are not read."""
        one, two = next(self.between(sorted((first, second))))
        return (one, two) if first <= second else (two, one)

    def between(self, versions: Sequence[int]) -> Iterator[tuple[Differing, Differing]]:
        """Each two neighbours of an ascending row of versions, as :meth:`differing` has them; one pass for all."""
        for touched in islice(self._followed(versions), 1, None):
            unlike = [one for one in touched.before if _unlike(touched.before[one], touched.after[one])]
            records = self._records.find(unlike)
            one, two = (_entries(states, records) for states in (touched.before, touched.after))
            yield Differing(touched.counts[0], one), Differing(touched.counts[1], two)

    def moves(self, versions: Sequence[int]) -> Iterator[tuple[dict[str, str], frozenset[str]]]:
        """What came with each of an ascending row of versions since the one before, by id with its slot; what went.

        A record that was dropped and added again went and came; one that only changed its slot came.
        """
        for touched in self._followed(versions):
            then, now = touched.before, touched.after
            came = sorted((state, one) for one, state in now.items() if state and not _same(then[one], state))
            went = (one for one, state in then.items() if state and not _stayed(state, now[one]))
            yield {one: state.slot for state, one in came}, frozenset(went)

    def _followed(self, versions: Sequence[int]) -> Iterator[_Touched]:
        """The changes up to each of an ascending row of versions from the one before, in one pass."""
        ledger, held = deque(self.ledger(until=versions[-1]) if versions else ()), _Held()
        for version in versions:
            count, before = len(held.slots), dict[str, _State | None]()
            while ledger and ledger[0][0] <= version:
                _, change, slot, identity = ledger.popleft()
                before.setdefault(identity, held.state(identity))
                held.follow(change, slot, identity)
            after = {identity: held.state(identity) for identity in before}
            yield _Touched((count, len(held.slots)), before, after)

    def ledger(self, after: int = 0, until: int = _NEWEST) -> list[tuple[int, str, str, str]]:
        """Every change past a version, in order: the version that it made, add, drop, pin or unpin, slot, record."""
        rows = self._database.rows(
            "SELECT version, change, slot, record_id FROM working_memory WHERE run_id = ? AND version > ? "
            "AND version <= ? ORDER BY version, ordinal",
            (self._run_id, after, until),
        )
        return [(row["version"], row["change"], row["slot"], row["record_id"]) for row in rows]

    def changes(self, before: int, after: int) -> list[tuple[str, str, Record]]:
        """What the versions after ``before`` up to ``after`` did: add, drop, pin or unpin; the slot added to; what."""
        rows = self._database.rows(
            "SELECT change, slot, record_id FROM working_memory WHERE run_id = ? AND version > ? AND version <= ? "
            "ORDER BY version, ordinal",
            (self._run_id, before, after),
        )
        records = self._records.get([row["record_id"] for row in rows])
        return [(row["change"], row["slot"], record) for row, record in zip(rows, records, strict=True)]

    def left(self, version: int, slot: Slot) -> list[Record]:
        """Records of a slot that were in it before a version and are not any more, in the order they were added."""
        added = [row["record_id"] for row in self._rows(version) if row["change"] == "add" and row["slot"] == slot]
        held = {entry.record.id for entry in self.read(version, slot)}
        return self._records.get([identity for identity in dict.fromkeys(added) if identity not in held])

    def _held(self, version: int) -> _Held:
        """The entries at a version."""
        held = _Held()
        for row in self._rows(version):
            held.follow(row["change"], row["slot"], row["record_id"])
        return held

    def _rows(self, version: int) -> list[Row]:
        return self._database.rows(
            "SELECT change, slot, record_id FROM working_memory WHERE run_id = ? AND version <= ? "
            "ORDER BY version, ordinal",
            (self._run_id, version),
        )


class _State(NamedTuple):
    """How a record is held: how many were added before it, in which slot it is, and whether it is pinned."""

    place: int
    slot: str
    pinned: bool


class _Touched(NamedTuple):
    """What changed from one version to another: how many entries each has, how what was touched was and is held."""

    counts: tuple[int, int]
    before: dict[str, _State | None]
    after: dict[str, _State | None]


class _Held:
    """Entries of a working memory, without their records, followed change by change."""

    def __init__(self) -> None:
        self.slots: dict[str, str] = {}
        self.pinned: set[str] = set()
        self._places: dict[str, int] = {}
        self._added = 0

    def follow(self, change: str, slot: str, identity: str) -> None:
        """Follow one change: add, drop, pin or unpin."""
        if change == "add":
            if identity not in self.slots:
                self._places[identity] = self._added
                self._added += 1
            self.slots[identity] = slot
        elif change == "pin":
            self.pinned.add(identity)
        elif change == "unpin":
            self.pinned.discard(identity)
        elif identity not in self.pinned:
            self.slots.pop(identity, None)

    def entry(self, record: Record) -> Entry:
        """A record that is held, as it is held."""
        return Entry(self.slots[record.id], record, record.id in self.pinned)

    def state(self, identity: str) -> _State | None:
        """How a record is held; ``None`` if it is not."""
        if identity not in self.slots:
            return None
        return _State(self._places[identity], self.slots[identity], identity in self.pinned)


def _same(one: _State | None, other: _State) -> bool:
    """Whether a record is held in the same place and slot."""
    return one is not None and one[:2] == other[:2]


def _stayed(one: _State, other: _State | None) -> bool:
    """Whether a record was held all along: one that was added again has another place."""
    return other is not None and one.place == other.place


def _unlike(one: _State | None, other: _State | None) -> bool:
    """Whether a record is held in another way; when it was added does not matter."""
    return (one and one[1:]) != (other and other[1:])


def _entries(states: Mapping[str, _State | None], records: Mapping[str, Record]) -> list[Entry]:
    """Those of some records that are held, in the order in which they were added."""
    held = sorted((state, identity) for identity, state in states.items() if state and identity in records)
    return [Entry(state.slot, records[identity], state.pinned) for state, identity in held]
