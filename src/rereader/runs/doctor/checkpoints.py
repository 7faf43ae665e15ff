"""LangGraph's checkpoints of runs: whether they open, and setting aside those that are damaged.

They are read without a byte being changed, and without a file being made beside them. Only damage counts as such: what
is busy, not ours to read, or written by another version is told of and stays.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langgraph.checkpoint.sqlite import SqliteSaver

from rereader.memory.care.debris import delete_files, size_of
from rereader.memory.care.depth import Depth, paced
from rereader.memory.care.hints import REPAIR
from rereader.memory.database import is_damage
from rereader.memory.library import Library
from rereader.memory.locks import lock_at, taken
from rereader.schema.findings import Finding, listed, verdict
from rereader.schema.wording import counted

_RUNS = "SELECT id, answer IS NOT NULL AS is_over FROM runs ORDER BY created_at DESC"
State = Literal["whole", "damaged", "unknown"]


@dataclass(frozen=True)
class Looked:
    """What came of looking at the checkpoints of a run.

    Args:
        run: Its id.
        is_over: Whether it has an answer.
        state: ``unknown`` if they could not be read, which says nothing about them.
        why: What was said.
    """

    run: str
    is_over: bool
    state: State
    why: str


def checkpoints_open(library: Library, depth: Depth) -> list[Finding]:
    """The newest checkpoint of every run can be read: an unfinished run goes on from it, a fork begins with it."""
    found = list(_look_at_all(library, depth))
    damaged, unknown = ([one for one in found if one.state == state] for state in ("damaged", "unknown"))
    bad = ("run with damaged checkpoints", "runs with damaged checkpoints")
    told = verdict("" if unknown else "checkpoints can be read", bad, [one.run for one in damaged], REPAIR)
    return told + _unknown(unknown)


def drop_broken(library: Library, depth: Depth) -> list[Finding]:
    """Delete damaged checkpoints: an unfinished run begins anew, with every finished call from the cache.

    A finished run keeps its answer and its steps; only forks of it need checkpoints.
    """
    damaged = [one for one in _look_at_all(library, depth) if one.state == "damaged"]
    gone = [one for one in damaged if _drop(library, one, depth)]
    again, over = ([one.run for one in gone if one.is_over is wanted] for wanted in (False, True))
    what = f"{counted(len(again), 'run')} with damaged checkpoints will begin anew when resumed: {listed(again)}"
    found = [Finding(what, "mended", "No finished call is made again.")] if again else []
    told = f"{counted(len(over), 'finished run')} lost damaged checkpoints and cannot be forked: {listed(over)}"
    return found + ([Finding(told, "warning", "Their answers and steps are whole.")] if over else [])


def _unknown(found: Sequence[Looked]) -> list[Finding]:
    if not found:
        return []
    what = f"the checkpoints of {counted(len(found), 'run')} could not be read: {listed([one.run for one in found])}"
    told = f"{what} ({found[0].why})"
    return [Finding(told, "warning", "They were left as they are; look at that, then run rereader doctor again.")]


def _drop(library: Library, looked: Looked, depth: Depth) -> bool:
    """Delete the checkpoints of a run if they are damaged also while nobody else has their hands on them."""
    lock = lock_at(library.run_lock(looked.run))
    if not taken(lock):
        return False
    try:
        path = library.checkpoint_path(looked.run)
        if _look(path, looked.run, depth)[0] != "damaged":
            return False
        delete_files([path, *_beside(path, "wal", "shm", "journal")])
    finally:
        lock.release()
    return True


def _look_at_all(library: Library, depth: Depth) -> Iterator[Looked]:
    """The runs that nobody is at work on and that have checkpoints which are not whole."""
    for row in paced("checkpoints", library.database.rows(_RUNS), depth.listen):
        identity, path = row["id"], library.checkpoint_path(row["id"])
        if not size_of(path) or library.is_at_work(identity):
            continue
        state, why = _look(path, identity, depth)
        if state != "whole" and not library.is_at_work(identity):  # nor was it begun meanwhile
            yield Looked(identity, bool(row["is_over"]), state, why)


def _look(path: Path, run_id: str, depth: Depth) -> tuple[State, str]:
    """Whether the newest checkpoint of a file can be read; if everything is read, SQLite examines the file, too."""
    try:
        with _unchanged(path) as connection:
            if depth.whole and (said := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                return "damaged", str(said)
            SqliteSaver(connection).get_tuple({"configurable": {"thread_id": run_id}})
    except sqlite3.Error as error:
        return "damaged" if is_damage(error) else "unknown", str(error)
    except (ValueError, EOFError) as error:  # what unpacking damaged bytes comes to
        return "damaged", str(error)
    except Exception as error:  # something else that this version of LangGraph cannot read, or the disk
        return "unknown", f"{type(error).__name__}: {error}"
    return "whole", ""


@contextmanager
def _unchanged(path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite file to read, which stays as it is to the last byte.

    One with a journal, which a killed process left, is read as a copy: SQLite would write to both.
    """
    journals = [one for one in _beside(path, "wal", "journal") if size_of(one)]
    if not journals:
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(prefix="rereader-") as folder:
        for one in (path, *journals):
            shutil.copyfile(one, Path(folder) / one.name)
        with closing(sqlite3.connect(Path(folder) / path.name, check_same_thread=False)) as connection:
            yield connection


def _beside(path: Path, *kinds: str) -> list[Path]:
    """What SQLite keeps beside a file."""
    return [path.with_name(f"{path.name}-{kind}") for kind in kinds]
