"""Whether the tables are those that this version makes: what a development version left out is found, and added."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from rereader.memory.database import Database
from rereader.memory.migrations import MIGRATIONS


def missing_parts(database: Database) -> list[tuple[str, str]]:
    """Tables, columns and indexes that are not there, each with the statement that adds it."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statements in MIGRATIONS:
            for statement in statements:
                fresh.execute(statement)
        return list(_missing(database, fresh))


def _missing(database: Database, fresh: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    here = {row["name"] for row in database.rows("SELECT name FROM sqlite_master")}
    wanted = fresh.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' "
        "ORDER BY type = 'index'"
    )
    for kind, name, sql in wanted.fetchall():
        if name not in here:
            yield f"{kind} {name}", sql
        elif kind == "table":
            yield from _missing_columns(database, fresh, name)


def _missing_columns(database: Database, fresh: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    here = {row["name"] for row in database.rows(f"PRAGMA table_info({table})")}
    for _, name, kind, *_ in fresh.execute(f"PRAGMA table_info({table})").fetchall():
        if name not in here:
            yield f"column {table}.{name}", f"ALTER TABLE {table} ADD COLUMN {name} {kind}"
