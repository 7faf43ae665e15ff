"""What a fork takes over of its parent: rows of steps, calls and working memory, and LangGraph's checkpoints."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from rereader.memory.database import Database, translated
from rereader.models.files import make_private
from rereader.schema import Usage

_COPIES = (
    "INSERT INTO steps SELECT :fork, step, node, started_at, seconds, memory_version, detail, usage "
    "FROM steps WHERE run_id = :parent AND step <= :step",
    "INSERT INTO step_calls SELECT :fork, step, ordinal, role, method, template, slots, prompt_sha256, reply, "
    "prompt_tokens, completion_tokens, cached FROM step_calls WHERE run_id = :parent AND step <= :step",
    "INSERT INTO working_memory SELECT :fork, version, ordinal, change, slot, record_id "
    "FROM working_memory WHERE run_id = :parent AND version <= :version",
    "UPDATE runs SET usage = :usage WHERE id = :fork",
)


def copy_rows(database: Database, parent: str, fork: str, *, step: int, version: int, usage: Usage) -> None:
    """Copy a run's steps, their calls and its working memory up to a step to a fork, whose row is there.

    Records are not copied: the fork's working memory names those of its parent.

    Args:
        database: The library's.
        parent: The run.
        fork: The fork.
        step: The last step that is copied.
        version: The version of the working memory after it.
        usage: What the run had cost up to it.
    """
    told = {"parent": parent, "fork": fork, "step": step, "version": version, "usage": usage.model_dump_json()}
    with database.transaction():
        for statement in _COPIES:
            database.execute(statement, told)


def copy_checkpoints(source: Path, goal: Path, thread: str, last: str) -> None:
    """Copy the file of a run's checkpoints, without those after ``last`` and what was written after it.

    Args:
        source: The file of the parent, which may be in use.
        goal: The file of the fork.
        thread: The name of the thread that the copies belong to.
        last: Id of the last checkpoint that is copied; ids grow with time.

    Raises:
        StoreError: If the file cannot be read or written.
    """
    with translated(goal):
        make_private(goal)
    with (
        translated(goal),
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as before,
        closing(sqlite3.connect(goal)) as after,
    ):
        before.backup(after)
        with after:
            after.execute("DELETE FROM checkpoints WHERE checkpoint_id > ?", (last,))
            after.execute("DELETE FROM writes WHERE checkpoint_id >= ?", (last,))
            for table in ("checkpoints", "writes"):
                after.execute(f"UPDATE {table} SET thread_id = ?", (thread,))
        after.execute("VACUUM")
