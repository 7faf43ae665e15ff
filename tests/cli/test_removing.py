"""``remove`` while somebody works on the document: refused in one line that names the run, and nothing is touched."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from filelock import FileLock

from rereader.memory.library import Library
from rereader.schema import Budget

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def document(command, tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("The mill was sold in spring. Nobody knew the buyer.", encoding="utf-8")
    return json.loads(command("add", path, "--json")[1])[0]["id"]


def run_on(workspace, document, name):
    with Library(workspace) as library:
        library.runs.create(
            name, question="Who?", graph="retrieval", settings={}, models={}, budget=Budget(), document_ids=[document]
        )
        return library.run_lock(name)


def everything(workspace):
    with Library(workspace) as library:
        return [tuple(row) for row in library.database.rows("SELECT * FROM documents, chunks, vectors")], len(
            library.runs.all()
        )


def test_a_document_that_a_run_in_another_process_reads_stays(command, workspace, document):
    run_on(workspace, document, "idle")
    lock = run_on(workspace, document, "busy")
    before = everything(workspace)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    ) as holder:
        assert holder.stdout.readline().strip() == b"held"
        code, out, err = command("remove", document[:8], "--yes")
        holder.stdin.close()
    assert (code, out) == (2, "")
    assert "letters.txt is being read by run busy." in err
    assert len(err.splitlines()) == 1
    assert everything(workspace) == before
    code, out, _ = command("remove", document[:8], "--yes")
    assert (code, "2 runs" in out) == (0, True)
    assert list((workspace / "runs").iterdir()) == []
    assert list((workspace / "index").iterdir()) == []


def test_a_document_that_is_being_added_stays(command, workspace, document):
    with Library(workspace) as library, library.adding(document, lambda: None):
        code, _, err = command("remove", document[:8], "--yes")
    assert code == 2
    assert "is being added by another process" in err
    assert command("remove", document[:8], "--yes")[0] == 0


def test_asking_who_is_at_work_leaves_no_file(command, workspace, document):
    lock = run_on(workspace, document, "killed")
    assert json.loads(command("runs", "list", "--json")[1])[0]["status"] == "interrupted"
    assert not lock.exists()
    with FileLock(lock):
        assert json.loads(command("runs", "list", "--json")[1])[0]["status"] == "running"


def test_remove_prints_json(command, document):
    removed = json.loads(command("remove", document[:8], "--yes", "--json")[1])
    assert (removed["removed"]["id"], removed["runs"], removed["erased"]) == (document, 0, True)


def test_what_another_process_still_reads_is_said_to_stay(command, workspace, document):
    with closing(sqlite3.connect(workspace / "library.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM documents").fetchone()
        code, out, err = command("remove", document[:8], "--yes")
    assert (code, out) == (0, "Removed letters.txt and 0 runs.\n")
    assert err.startswith("note: What was deleted still stands") and "run: rereader gc" in err
    assert command("gc")[0] == 0
    assert b"mill" not in (workspace / "library.db").read_bytes()


@pytest.mark.parametrize(("reply", "code", "said"), [("n\n", 0, "Nothing was removed."), ("", 2, "--yes")])
def test_without_consent_nothing_is_removed(command, document, monkeypatch, reply, code, said):
    monkeypatch.setattr("sys.stdin", io.StringIO(reply))
    got, out, err = command("remove", document[:8])
    assert (got, out.strip()) == (code, "")
    assert said in err
    assert [found["id"] for found in json.loads(command("documents", "--json")[1])] == [document]


@pytest.mark.parametrize("group", ["runs", "models", "graphs", "config", "bench"])
def test_a_group_without_a_command_shows_its_help(command, group):
    code, out, err = command(group)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: rereader") and len(err.splitlines()) > 5
