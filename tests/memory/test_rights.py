"""What Rereader writes of a document may be read by its owner only, whatever the user's umask is."""

import os
import stat
import subprocess
import sys

import pytest
from strongbox import QUESTION, write_book

from rereader.cli.main import run
from rereader.memory.library import Library
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

WITHOUT_MODELS = ["--model", "extractive", *(f"--role={r}" for r in ("gister=none", "scorer=none", "embedder=hashing"))]
BLOCKS = {"gist": "extract", "reads": "kv", "chunk_tokens": 60, "decline_below": 0}


@pytest.fixture(autouse=True)
def nothing_hidden():
    """A umask that hides nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077
    )


@pytest.mark.parametrize("graph, settings", [("compressed-memory", BLOCKS), ("evidence-replay", {"keep": "exact"})])
def test_nobody_else_reads_a_workspace(tmp_path, graph, settings):
    folder = tmp_path / "ws"
    folder.mkdir(mode=0o755)  # a folder of the user's own
    session = scripted_session(folder)
    text = plant(essay(3, 60), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
    answer = session.ask("When was the mill sold?", [document.id], graph=graph, settings=settings)
    session.fork(answer.run_id, 1)
    assert open_to_others(folder) == []  # while it is open, with SQLite's files beside
    session.close()
    assert open_to_others(folder) == []
    assert {path.suffix for path in folder.rglob("*")} >= {".db", ".sqlite", ".lock"}


def test_nobody_else_reads_pages(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("REREADER_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("REREADER_CONFIG", str(tmp_path / "config.toml"))
    book, page = write_book(tmp_path / "book.txt", 60), tmp_path / "answer.html"
    assert run(["ask", *WITHOUT_MODELS, str(book), QUESTION, "--quiet", "--html", str(page)]) == 0
    with Library(workspace) as library:
        [made] = library.runs.all()
    assert run(["open", made.id, "--print"]) == 0
    assert run(["show", made.id, "--html", str(tmp_path / "run.html")]) == 0
    for written in (page, tmp_path / "run.html", workspace / "runs" / f"{made.id}.html"):
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    page.chmod(0o644)  # the user lets others read it
    assert run(["show", made.id, "--html", str(page)]) == 0
    assert stat.S_IMODE(page.stat().st_mode) == 0o644


LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT COUNT(*) FROM runs").fetchall()
connection.close()
"""


def test_opening_a_library_takes_no_lock_of_its_process_away(tmp_path):
    """Else another process that closes the library takes itself for the last one, and deletes the journal under us."""
    with Library(tmp_path / "ws") as library:
        library.database.execute("DELETE FROM tombstones")
        journal = tmp_path / "ws" / "library.db-wal"
        assert journal.is_file()
        with Library(tmp_path / "ws"):
            subprocess.run([sys.executable, "-c", LOOK, str(tmp_path / "ws" / "library.db")], check=True)
            assert journal.is_file()
