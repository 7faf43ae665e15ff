"""What ``rereader gc`` may let go of: leftovers, what can be made again, and runs that are old enough.

Runs and their records are what was paid for, so they go only by a retention that somebody asked for, each with a
tombstone. A run at work is never touched, nor what it reads, nor a run that a kept one follows or was forked from, nor
cached replies that an unfinished run would need to go on without paying again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Row
from typing import Literal

from rereader.memory.care.debris import orphan_files, orphan_tables, size_of
from rereader.memory.library import Library

Kind = Literal["texts", "blocks", "calls"]
JOURNALS = ("-wal", "-shm")
"""Ends of names of what SQLite keeps beside a file while it is open."""
KINDS: tuple[Kind, ...] = ("texts", "blocks", "calls")
"""What can be made again: texts that a model has read, compressed memories, cached replies; cheapest first."""
_FRESH_SECONDS = 3600.0
"""A run that says that it is running and was written to so lately may be about to take its lock."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Args:
        older_than: Age in seconds, since its last change, from which on a run goes.
        keep_last: How many runs stay however old they are.
        max_bytes: Bytes that the workspace may have; what can be made again goes until it has.
        drop: What goes whole.
    """

    older_than: float | None = None
    keep_last: int | None = None
    max_bytes: int | None = None
    drop: frozenset[Kind] = frozenset()


@dataclass
class Plan:
    """What will go, and about how many bytes that frees; rows count by what is in them.

    Args:
        size: Bytes of the workspace now.
        leftovers: Files of nothing.
        tables: Cuts that are gone and have a full-text index.
        runs: Runs, each before the one that it follows or was forked from.
        again: What can be made again, by kind: files, and keys.
        bytes: About what each kind frees.
        kept: Runs that are old enough and stay, since they are at work or another one needs them.
        over: Bytes that the workspace will have above what was asked for.
    """

    size: int
    leftovers: list[Path] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    again: dict[Kind, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    bytes: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    over: int = 0

    @property
    def freed(self) -> int:
        """Bytes in all."""
        return sum(self.bytes.values())

    def counts(self) -> dict[str, int]:
        """How many of each kind go, those of which some do."""
        found = {"leftovers": len(self.leftovers) + len(self.tables), "runs": len(self.runs)}
        found |= {kind: len(names) for kind, names in self.again.items()}
        return {kind: count for kind, count in found.items() if count}


def make_plan(library: Library, wanted: Wanted, agreed: Collection[str] | None = None) -> Plan:
    """Find what goes; nothing is changed.

    Args:
        library: The workspace.
        wanted: What was asked for.
        agreed: Ids of the runs that may go; ``None`` for any.
    """
    plan = Plan(workspace_bytes(library))
    plan.leftovers, plan.tables = orphan_files(library), [int(table) for table in orphan_tables(library)]
    plan.bytes["leftovers"] = sum(size_of(path) for path in plan.leftovers) + library.database.free_bytes()
    plan.runs, plan.kept = _old_runs(library, wanted, agreed)
    plan.bytes["runs"] = sum(_run_bytes(library, run) for run in plan.runs)
    for kind in KINDS:
        _take(library, plan, kind, wanted)
    if wanted.max_bytes is not None:
        plan.over = max(0, plan.size - plan.freed - wanted.max_bytes)
    return plan


def workspace_bytes(library: Library) -> int:
    """Bytes of all files of a workspace, without SQLite's journals, which come and go."""
    files = (path for path in library.workspace.rglob("*") if not path.name.endswith(JOURNALS))
    return sum(size_of(path) for path in files if path.is_file())


def _old_runs(library: Library, wanted: Wanted, agreed: Collection[str] | None = None) -> tuple[list[str], list[str]]:
    """Runs that go, and those that are old enough and stay nevertheless."""
    if wanted.older_than is None and wanted.keep_last is None:
        return [], []
    rows = library.database.rows(_RUNS)
    before = time.time() - (wanted.older_than or 0.0)
    old = {row["id"] for row in rows[wanted.keep_last or 0 :] if row["updated_at"] <= before}
    if agreed is not None:
        old &= set(agreed)
    going = old - {row["id"] for row in rows if _may_work(library, row)}
    going -= _needed({row["id"]: row["parent"] for row in rows}, going)
    # A run comes after those that follow it or were forked from it, whatever the clock said.
    return [row["id"] for row in sorted(rows, key=_newest) if row["id"] in going], sorted(old - going)


_RUNS = "SELECT rowid AS number, id, parent, status, updated_at FROM runs ORDER BY updated_at DESC, rowid DESC"


def _newest(row: Row) -> int:
    return -int(row["number"])


def _may_work(library: Library, row: Row) -> bool:
    fresh = row["status"] == "running" and time.time() - row["updated_at"] < _FRESH_SECONDS
    return fresh or library.is_at_work(row["id"])


def _needed(parents: dict[str, str | None], going: set[str]) -> set[str]:
    """Those of the runs that go that a run which stays follows or was forked from, however far back."""
    found: set[str] = set()
    for run in parents.keys() - going:
        parent = parents[run]
        while parent is not None and parent not in found:
            found.add(parent)
            parent = parents.get(parent)
    return found


def _run_bytes(library: Library, run: str) -> int:
    rows = [library.database.row(query, (run,)) for query in _RUN_SIZES]
    return sum(size_of(path) for path in library.files_of(run)) + sum(int(row[0] or 0) for row in rows if row)


_RUN_SIZES = (
    "SELECT SUM(LENGTH(content) + 150) FROM records WHERE run_id = ?",
    "SELECT SUM(LENGTH(detail) + LENGTH(usage)) FROM steps WHERE run_id = ?",
    "SELECT SUM(LENGTH(slots) + LENGTH(reply) + 150) FROM step_calls WHERE run_id = ?",
    "SELECT SUM(100) FROM working_memory WHERE run_id = ?",
    "SELECT LENGTH(question) + LENGTH(settings) + COALESCE(LENGTH(answer), 0) FROM runs WHERE id = ?",
)


def _take(library: Library, plan: Plan, kind: Kind, wanted: Wanted) -> None:
    """Add what goes of a kind: all of it, or the first of what can be spared until the rest is small enough."""
    plan.bytes[kind] = 0
    if kind not in wanted.drop and wanted.max_bytes is None:
        return
    for name, size in _spare(library, kind):
        if kind not in wanted.drop and plan.size - plan.freed <= (wanted.max_bytes or 0):
            break
        plan.again[kind].append(name)
        plan.bytes[kind] += size


def _spare(library: Library, kind: Kind) -> Iterable[tuple[str, int]]:
    """What of a kind nobody at work needs, with its bytes.

    First comes what was used longest ago; of texts and calls, whose last use nobody notes, what was made longest ago.
    """
    if kind == "calls":
        return [(row["key"], row["bytes"]) for row in library.database.rows(_SPARE_CALLS)]
    busy = [document.id for document in library.documents.all() if library.is_busy(document.id)]
    if kind == "blocks":
        return [(row["key"], row["bytes"]) for row in library.bank.by_use(library.bank.sets_of(busy))]
    needed = {path for document in busy for path in library.kept_texts(document)}
    texts = [(path, path.stat()) for path in library.kept_texts() if path not in needed]
    return [(str(path), state.st_size) for path, state in sorted(texts, key=lambda text: text[1].st_mtime)]


_SPARE_CALLS = """SELECT key, LENGTH(key) + LENGTH(reply) + 100 AS bytes FROM calls WHERE key NOT IN (
    SELECT key FROM call_documents JOIN run_documents ON run_documents.document_id = call_documents.document_id
    JOIN runs ON runs.id = run_id WHERE answer IS NULL) ORDER BY created_at, key"""
