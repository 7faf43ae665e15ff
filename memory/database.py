"""One SQLite file per workspace: WAL, migrations, one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rereader.memory.migrations import MIGRATIONS
from rereader.models.files import make_private
from rereader.schema import Busy, Damaged, InputError, StoreError

BUSY_SECONDS = 60.0
_SETTLE_SECONDS = 2.0
_RESTORE = "Restore it from a backup, or start a new folder with --workspace."


class Database:
    """A connection that several threads share.

    Writes happen inside :meth:`transaction`, which holds the thread lock and SQLite's write lock; other processes wait
    for it up to ``BUSY_SECONDS``.

    Raises:
        StoreError: If the file is read-only, damaged, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        with translated(path):
            make_private(path)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._migrate()

    def _migrate(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            msg = f"The workspace was written by a newer Rereader (schema {version}, known {len(MIGRATIONS)})."
            raise StoreError(msg, "Upgrade Rereader, or name another folder with --workspace.")
        if version == len(MIGRATIONS):
            return
        with self.transaction():
            # Another process may have migrated while we waited for the write lock.
            for number in range(self._version(), len(MIGRATIONS)):
                for statement in MIGRATIONS[number]:
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={number + 1}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes; all or none are kept. Nested use joins the outer transaction."""
        with self._lock, translated(self.path):
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self._depth == 1 and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Run one write; returns the number of rows changed."""
        with self.transaction():
            return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Iterator[Sequence[Any]] | Sequence[Sequence[Any]]) -> None:
        """Run one write for each row."""
        with self.transaction():
            self._connection.executemany(sql, rows)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock, translated(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query."""
        with self._lock, translated(self.path):
            found: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
            return found

    def free_bytes(self) -> int:
        """Bytes of pages that nothing is in any more; :meth:`vacuum` gives them back."""
        with self._lock, translated(self.path):
            count, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("freelist_count", "page_size")
            )
        return count * size

    def vacuum(self) -> bool:
        """Give free pages back, so that nothing of a removed row stays in the files; returns what settling does."""
        with self._lock, translated(self.path):
            self._connection.execute("VACUUM")
        return self.settle()

    def settle(self) -> bool:
        """Bring what stands in the journal into the file, and empty it.

        Nobody can write meanwhile, so it does not wait as long as a write does.

        Returns:
            Whether all of it went. It cannot while another process reads an older state (a backup, say); what was
            deleted since then still stands in the two files.
        """
        with self._lock, translated(self.path):
            self._connection.execute(f"PRAGMA busy_timeout={_SETTLE_SECONDS * 1000:.0f}")
            try:
                busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
            finally:
                self._connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")

    def close(self) -> None:
        """Close the connection; waits for a running statement."""
        with self._lock:
            self._connection.close()


_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNDECODED = "Could not decode to UTF-8"
"""What Python says of a damaged text; SQLite itself has not looked at it."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether a file is damaged, and not busy, out of room, of another version, or not ours to read."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)  # an error of the module itself has none
    return code & 0xFF in _DAMAGE or _UNDECODED in str(error)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the operating system's errors into ours, with a hint; a wrong use of SQLite stays as it is."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        msg = f"What this worked on is gone from the workspace {path.parent}: {error}."
        raise StoreError(msg, "Another process removed it; see 'rereader documents'.") from error
    except sqlite3.ProgrammingError:  # a mistake of ours, which must look like one, not like the file's
        raise
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise Damaged(f"The workspace file {path} is damaged: {error}.", _RESTORE) from error
        raise _store_error(path, str(error)) from error
    except UnicodeEncodeError as error:
        msg = "What is looked for holds half a character (a lone surrogate), which is nowhere in the workspace."
        raise InputError(msg, "Check how it is written.") from error
    except OverflowError as error:
        raise InputError("A number is larger than any in the workspace.", "Give a smaller one.") from error
    except OSError as error:
        msg = f"Cannot write to {path.parent}: {error.strerror or error}."
        raise StoreError(msg, "Free some space, or name another folder with --workspace.") from error


def _store_error(path: Path, reason: str) -> StoreError:
    if "readonly" in reason or "unable to open" in reason:
        hint = "Make the folder writable, or name another one with --workspace."
        return StoreError(f"Cannot write to the workspace {path.parent}: {reason}.", hint)
    if "full" in reason:
        return StoreError(f"No space left for the workspace {path.parent}.", "Free some space and run the same again.")
    if "locked" in reason or "busy" in reason:
        return Busy(f"The workspace {path.parent} is busy.", "Another process writes to it; try again.")
    return StoreError(f"The workspace {path.parent} failed: {reason}.", "Try again.")
