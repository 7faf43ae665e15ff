"""Who holds a lock is told rightly, also to many who ask at once; nobody waits for a reader of an older state."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from rereader.memory.database import Database
from rereader.memory.locks import alone, caring, held, lock_at, taken
from rereader.schema import AtWork


def test_who_asks_does_not_hold(tmp_path):
    path = tmp_path / "a.lock"
    assert not held(path) and not path.exists()  # to ask makes no file
    path.touch()
    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(lambda _: held(path), range(2000)))


def test_who_works_holds(tmp_path):
    path = tmp_path / "a.lock"
    with lock_at(path):
        assert held(path) and not taken(lock_at(path))
        with pytest.raises(AtWork, match="busy"), alone(path, "It is busy.", "Wait."):
            pass
    assert not held(path)


def test_one_takes_care_at_a_time(tmp_path):
    with caring(tmp_path), pytest.raises(AtWork, match="takes care"), caring(tmp_path):
        pass
    with caring(tmp_path):
        pass


def test_settling_does_not_wait_for_a_backup(tmp_path):
    database = Database(tmp_path / "library.db")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM documents").fetchall()
        database.execute("INSERT INTO tombstones VALUES ('a', 'removed', 0)")
        written = threading.Event()

        def write():
            with closing(sqlite3.connect(database.path, timeout=30)) as other, other:
                other.execute("INSERT INTO tombstones VALUES ('b', 'removed', 0)")
            written.set()

        writer = threading.Thread(target=write)
        began = time.monotonic()
        threading.Timer(0.2, writer.start).start()
        database.settle()
        assert written.wait(20) and time.monotonic() - began < 30  # sixty seconds, if it waited like a write
    writer.join()
    database.close()
