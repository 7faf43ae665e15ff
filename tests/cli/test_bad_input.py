"""Bad input through the command line, from files to workspaces: one line that says so, and the documented exit code.

Files made to exhaust or to escape are in test_hostile_files.py, servers that fail in test_endpoints.py, odd texts in
the place of any argument in test_any_argument.py.
"""

import ctypes
import json
import os
import sqlite3
import subprocess
import sys

import pytest
from strongbox import QUESTION

from rereader.memory.database import Database

ANSWERED, BAD_INPUT = 0, 2


def one_line(err):
    """The line that says what is wrong; all other lines are notes."""
    lines = [line for line in err.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    assert "Traceback" not in err and "Internal error" not in err
    return lines[0]


def written(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def empty_folder(folder):
    (folder / "in" / ".hidden").mkdir(parents=True)
    written(folder / "in", ".secret.txt", b"some text")
    return folder / "in"


FILES = {
    "missing": (lambda f: [f / "none.txt"], "There is no file"),
    "name too long": (lambda f: [f / ("n" * 300)], "cannot be read"),
    "below a file": (lambda f: [written(f, "a.txt", b"text") / "b.txt"], "cannot be read"),
    "folder without documents": (lambda f: [empty_folder(f)], "holds no readable text"),
    "empty": (lambda f: [written(f, "empty.txt", b"")], "is empty"),
    "blank": (lambda f: [written(f, "blank.txt", b" \n\t\n" * 99)], "nothing but white space"),
    "binary": (lambda f: [written(f, "binary.txt", bytes(range(256)) * 40)], "binary file"),
    "zero characters": (lambda f: [written(f, "zeros.txt", b"some\0text " * 99)], "binary file"),
    "wrong encoding": (lambda f: [written(f, "a.txt", b"caf\xe9 " * 9), "--encoding=utf-8"], "not utf-8"),
    "unknown encoding": (lambda f: [written(f, "a.txt", b"text"), "--encoding=klingon"], "klingon"),
    "half a pair": (lambda f: [written(f, "a.txt", b"\xff\xfea\0\x00\xd8b\0"), "--encoding=utf-16"], "not utf-16"),
    "no DOCX": (lambda f: [written(f, "a.docx", b"PK\x03\x04 and no more")], "a.docx"),
    "cut off": (lambda f: [written(f, "a.txt.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03")], "cut off"),
    "no PDF": (lambda f: [written(f, "a.pdf", b"%PDF-1.7\nnothing")], "a.pdf"),
}


@pytest.mark.parametrize("verb", ["ask", "add"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used(command, tmp_path, name, verb):
    make, said = FILES[name]
    code, out, err = command(verb, *make(tmp_path), *([QUESTION] if verb == "ask" else []))
    assert (code, out) == (BAD_INPUT, "")
    assert said in one_line(err)
    assert json.loads(command("documents", "--json")[1]) == []


NAMES = {
    "graph": (["ask", "BOOK", QUESTION, "--graph=nowhere"], "nowhere"),
    "model": (["ask", "BOOK", QUESTION, "--model=nowhere"], "nowhere"),
    "model folder": (["ask", "BOOK", QUESTION, "--model=./nowhere"], "nowhere"),
    "role": (["ask", "BOOK", QUESTION, "--role=nobody=none"], "nobody"),
    "setting": (["ask", "BOOK", QUESTION, "--set=nothing=1"], "nothing"),
    "setting's value": (["ask", "BOOK", QUESTION, "--set=chunk_tokens=-5"], "chunk_tokens"),
    "option": (["ask", "BOOK", QUESTION, "--nothing"], "--nothing"),
    "command": (["nothing"], "nothing"),
    "run": (["show", "beefbeef"], "beefbeef"),
    "run to resume": (["runs", "resume", "beefbeef"], "beefbeef"),
    "run to follow": (["ask", "--run", "beefbeef", QUESTION], "beefbeef"),
    "run to fork": (["fork", "beefbeef", "--step", "1"], "beefbeef"),
    "document": (["remove", "beefbeef", "--yes"], "beefbeef"),
    "no document": (["ask", QUESTION], "no document"),
    "no question": (["ask", "BOOK", " "], "question is empty"),
    "question forgotten": (["ask", "BOOK"], "is a file"),
    "tokens below zero": (["ask", "BOOK", QUESTION, "--max-tokens=-1"], "max-tokens"),
    "tokens that are no number": (["ask", "BOOK", QUESTION, "--max-tokens=many"], "max-tokens"),
    "calls below zero": (["ask", "BOOK", QUESTION, "--max-calls=-1"], "max-calls"),
    "seconds that are no number": (["ask", "BOOK", QUESTION, "--max-seconds=nan"], "max-seconds"),
    "two forms": (["ask", "BOOK", QUESTION, "--json", "--markdown"], "--markdown"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_or_a_number_that_cannot_be_used(command, book, name):
    arguments, said = NAMES[name]
    code, out, err = command(*[book if argument == "BOOK" else argument for argument in arguments])
    assert (code, out) == (BAD_INPUT, "")
    assert said in one_line(err)


def a_file(workspace):
    workspace.rmdir()
    workspace.write_text("no folder")


def newer(workspace):
    Database(workspace / "library.db").close()
    with sqlite3.connect(workspace / "library.db") as connection:
        connection.execute("PRAGMA user_version = 9999")


def no_library(workspace):
    (workspace / "library.db").write_bytes(b"no database at all " * 999)


WORKSPACES = {"a file": (a_file, "workspace"), "newer": (newer, "newer"), "damaged": (no_library, "library.db")}


@pytest.mark.parametrize("arguments", [["ask", "BOOK", QUESTION], ["documents"], ["show", "beefbeef"], ["gc"]], ids=str)
@pytest.mark.parametrize("name", WORKSPACES)
def test_a_workspace_that_cannot_be_used(command, workspace, book, name, arguments):
    spoil, said = WORKSPACES[name]
    spoil(workspace)
    code, out, err = command(*[book if argument == "BOOK" else argument for argument in arguments])
    assert (code, out) == (BAD_INPUT, "")
    assert said in one_line(err)


def bound_by_rights():
    """Let a root user be bound by the rights of files, too, from the next program on."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; it does nothing to other users


def as_user(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "rereader", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=bound_by_rights,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout, done.stderr


MODELS = ["--model=extractive", "--role=gister=none", "--role=scorer=none", "--role=embedder=hashing", "--quiet"]


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_file_that_may_not_be_read(workspace, book, tmp_path):
    book.chmod(0)
    code, out, err = as_user("ask", *MODELS, book, QUESTION)
    assert (code, out) == (BAD_INPUT, "") and "may not be read" in one_line(err)
    (tmp_path / "in").mkdir()
    book.rename(tmp_path / "in" / "book.txt")
    written(tmp_path / "in", "other.txt", b"The strongbox opens with 1234. " * 9)
    code, out, err = as_user("add", *MODELS[1:], tmp_path / "in")
    assert code == ANSWERED and "other.txt" in out
    assert "skipped 1 unreadable file" in err and "may not be read" in err


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize("arguments", [["ask", *MODELS, "BOOK", QUESTION], ["gc"]], ids=["ask", "gc"])
def test_a_workspace_that_may_not_be_written(command, workspace, book, arguments):
    command("ask", book, QUESTION)
    paths = [workspace, *workspace.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        code, out, err = as_user(*[book if argument == "BOOK" else argument for argument in arguments])
    finally:
        for path in paths:
            path.chmod(0o755)
    assert (code, out) == (BAD_INPUT, "")
    assert "Cannot write to the workspace" in one_line(err)
