"""What goes when a document or a run goes: its rows, its files; a tombstone stays."""

from __future__ import annotations

import time
from typing import Literal

from rereader.memory.database import Database

Reason = Literal["removed", "collected"]
"""Whether its user removed it, or ``rereader gc`` did by the retention that was asked for."""


def delete_owned(database: Database, owner: str, reason: Reason) -> None:
    """Delete the records that a run or a document owns, and the run itself; call it inside a transaction."""
    database.execute("DELETE FROM gists WHERE record_id IN (SELECT id FROM records WHERE run_id = ?)", (owner,))
    database.execute("DELETE FROM records WHERE run_id = ?", (owner,))
    database.execute("DELETE FROM runs WHERE id = ?", (owner,))
    database.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)", (owner, reason, time.time()))
