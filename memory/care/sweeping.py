"""Let go of what a plan names: files first, so that a full disk has room for the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

from rereader.memory.care.collecting import Plan
from rereader.memory.care.debris import delete_files
from rereader.memory.care.depth import paced
from rereader.memory.database import translated
from rereader.memory.library import NOT_ERASED, Library
from rereader.memory.locks import lock_at, taken
from rereader.memory.removing import delete_owned
from rereader.schema.events import Listener

_BATCH = 500
_NOT_SMALLER = "the library's file was not made smaller"
_MAY_STAND = (
    "what was deleted earlier may still stand in the library's files, since another process uses them; when it has "
    "ended, run: rereader gc"
)
"""What to say where nothing was deleted, but maybe before."""
_PATIENCE_SECONDS = 0.2
"""Somebody who only asks whether a run is at work shares its lock for a moment."""


def sweep(library: Library, plan: Plan, listen: Listener) -> list[str]:
    """Carry out a plan; it may be killed at any moment and made again.

    Returns:
        What could not be done, in words.

    Raises:
        StoreError: If something cannot be deleted.
    """
    with translated(library.database.path):
        delete_files([*plan.leftovers, *map(Path, plan.again["texts"])])
    library.bank.forget(plan.again["blocks"])
    for chunking in plan.tables:
        library.fulltext.drop(chunking)
    busy = [run for run in paced("runs", plan.runs, listen) if not _remove_run(library, run)]
    calls = plan.again["calls"]
    for first in range(0, len(calls), _BATCH):
        keys = [(key,) for key in calls[first : first + _BATCH]]
        library.database.execute_many("DELETE FROM calls WHERE key = ?", keys)
    stayed = [f"run {run} stays: it is at work, or was forked meanwhile" for run in busy]
    deleted = len(busy) < len(plan.runs) or any((plan.tables, plan.again["blocks"], calls))
    return stayed + _shrink(library, NOT_ERASED if deleted else _MAY_STAND)


def _remove_run(library: Library, run: str) -> bool:
    """Delete a run that nobody has its hands on, unless another one has come to need it."""
    lock = lock_at(library.run_lock(run))
    if not taken(lock, _PATIENCE_SECONDS):
        return False
    try:
        with library.database.transaction():
            if library.database.row("SELECT 1 FROM runs WHERE parent = ?", (run,)) is not None:
                return False
            delete_owned(library.database, run, "collected")
        delete_files(library.files_of(run))
    finally:
        lock.release()
    return True


def _shrink(library: Library, unsettled: str) -> list[str]:
    """Give the room of deleted rows back to the disk; a rewritten file needs as much room as it has, for a moment.

    Args:
        library: The workspace.
        unsettled: What to say if something deleted may still stand in the library's files.
    """
    database, found = library.database, list[str]()
    settled = database.settle()
    if database.free_bytes():
        if library.at_work() or not settled:
            found = [f"{_NOT_SMALLER}: another process uses it; run the same again when that has ended"]
        elif shutil.disk_usage(library.workspace).free < 2 * database.path.stat().st_size:
            found = [f"{_NOT_SMALLER}: rewriting it needs twice its size on the disk"]
        else:
            settled = database.vacuum()
    return found if settled else [*found, unsettled]
