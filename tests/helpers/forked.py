"""Runs that are forked: what to look at before and after, and how they are killed."""

import sqlite3
from contextlib import closing

from rereader.testing.conformance_room import SETTINGS
from rereader.tools.words import content_words

GRAPHS = ("compressed-memory", "memory-agent", "ledger", "recursive")
BLOCKS = {"block_tokens": 300, "memory_tokens": 60, "decline_below": 0}


def values_of(graph):
    return {**SETTINGS, **(BLOCKS if graph == "memory-agent" else {})}


def after(room, answer, step):
    return [one for one in room.library.runs.steps(answer.run_id) if one.number > step]


def step_of(room, answer, node, which=-1):
    """The number of a step of this node."""
    return [step.number for step in room.library.runs.steps(answer.run_id) if step.node == node][which]


def rows_of(library, run_id):
    """Every row of a run, and its checkpoints."""
    tables = ("runs", "run_documents", "steps", "step_calls", "working_memory", "step_parts", "records")
    found = {
        table: [
            tuple(row)
            for row in library.database.rows(
                f"SELECT * FROM {table} WHERE {'id' if table == 'runs' else 'run_id'} = ?", (run_id,)
            )
        ]
        for table in tables
    }
    with closing(sqlite3.connect(library.checkpoint_path(run_id))) as connection:
        for table in ("checkpoints", "writes"):
            found[table] = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
    return found


def everything(library):
    """What there is in a workspace: all runs' rows and all files of runs."""
    tables = ("runs", "steps", "step_calls", "working_memory", "records", "record_spans")
    rows = {table: len(library.database.rows(f"SELECT 1 FROM {table}")) for table in tables}
    return rows, sorted(path.name for path in (library.workspace / "runs").iterdir() if path.suffix != ".lock")


def shortened(prompt):
    """A memory that depends on what it was before."""
    words = list(dict.fromkeys(content_words(prompt)))
    return " ".join(sorted(words, key=lambda word: (hash_of(word), word))[:12])


def hash_of(word):
    return sum(map(ord, word)) % 97


class Died(Exception):
    """The process is gone, as far as the run can tell."""


def killed_after(runs, number):
    store = runs.add_step

    def die(run_id, step, *rest):
        store(run_id, step, *rest)
        if step.number == number:
            del runs.__dict__["add_step"]
            raise Died

    runs.__dict__["add_step"] = die
