"""LangGraph's checkpoints of runs: whether they open, and setting aside those that do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver

from rereader.memory.care.debris import delete_files, size_of
from rereader.memory.care.depth import Depth, paced
from rereader.memory.library import Library
from rereader.memory.locks import lock_at, taken
from rereader.schema.findings import Finding, listed, verdict

_RUNS = "SELECT id, answer IS NOT NULL AS is_over FROM runs ORDER BY created_at DESC"


def checkpoints_open(library: Library, depth: Depth) -> list[Finding]:
    """The newest checkpoint of every run can be read: an unfinished run goes on from it, a fork begins with it."""
    wrong = [identity for identity, _ in _broken(library, depth)]
    return verdict("checkpoints can be read", "runs with damaged checkpoints", wrong, "Run: rereader doctor --repair")


def drop_broken(library: Library, depth: Depth) -> list[Finding]:
    """Delete damaged checkpoints: an unfinished run begins anew, with every finished call from the cache.

    A finished run keeps its answer and its steps; only forks of it need checkpoints.
    """
    gone = [(identity, over) for identity, over in _broken(library, depth) if _drop(library, identity)]
    again, over = ([identity for identity, is_over in gone if is_over is wanted] for wanted in (False, True))
    what = f"{len(again)} runs with damaged checkpoints begin anew when they are resumed: {listed(again)}"
    found = [Finding(what, "mended", "No finished call is made again.")] if again else []
    told = f"{len(over)} finished runs lost damaged checkpoints and cannot be forked: {listed(over)}"
    return found + ([Finding(told, "warning", "Their answers and steps are whole.")] if over else [])


def _drop(library: Library, run_id: str) -> bool:
    lock = lock_at(library.run_lock(run_id))
    if not taken(lock):
        return False
    try:
        path = library.checkpoint_path(run_id)
        delete_files([path, *(path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm"))])
    finally:
        lock.release()
    return True


def _broken(library: Library, depth: Depth) -> Iterator[tuple[str, bool]]:
    """Ids of runs that nobody is at work on and whose checkpoints cannot be read, and whether they have an answer."""
    for row in paced("checkpoints", library.database.rows(_RUNS), depth.listen):
        identity, path = row["id"], library.checkpoint_path(row["id"])
        if size_of(path) and not library.is_at_work(identity) and not _opens(path, identity, depth):
            yield identity, bool(row["is_over"])


def _opens(path: Path, run_id: str, depth: Depth) -> bool:
    """Whether the newest checkpoint of a file can be read; if everything is read, SQLite examines the file, too."""
    try:
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            if depth.whole and connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return False
            SqliteSaver(connection).get_tuple({"configurable": {"thread_id": run_id}})
    except Exception:  # whatever unpacking damaged bytes comes to
        return False
    return True
