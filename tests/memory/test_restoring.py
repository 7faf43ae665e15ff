"""A workspace that is replaced by its backup is there until the new one is, whatever happens in between."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import asked, dump

from rereader.memory.care import restoring
from rereader.memory.care.depth import unheard
from rereader.memory.care.restoring import restore
from rereader.memory.library import Library
from rereader.schema import InputError, StoreError


def old_and_backup(saved, folder):
    """A workspace with another question in it than the backup has, and what is in it."""
    asked(folder / "ws", ["What else?"])
    return saved[1], dump(folder / "ws")


def test_an_error_in_the_middle_of_a_swap_puts_the_old_one_back(saved, tmp_path, monkeypatch):
    archive, before = old_and_backup(saved, tmp_path)
    rename, renamed = Path.rename, []

    def full(path, target):
        renamed.append(path)
        if len(renamed) == 2:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StoreError, match="No space"):
        restore(archive, tmp_path / "ws", unheard, replace=True)
    assert len(renamed) == 3 and dump(tmp_path / "ws") == before
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


KILLED = """
import os, sys
from pathlib import Path
from rereader.memory.care.depth import unheard
from rereader.memory.care.restoring import restore

renames = []
def rename(path, target):
    renames.append(path)
    if len(renames) == int(sys.argv[3]):
        os._exit(9)
    os.rename(path, target)

Path.rename = rename
restore(Path(sys.argv[1]), Path(sys.argv[2]), unheard, replace=True)
"""


def kill_restore(archive, workspace, rename):
    """Restore in a process that dies before its n-th rename."""
    given = [sys.executable, "-c", KILLED, str(archive), str(workspace), str(rename)]
    return subprocess.run(given, capture_output=True, timeout=120).returncode


def test_a_kill_in_the_middle_of_a_swap_loses_neither(saved, tmp_path):
    archive, before = old_and_backup(saved, tmp_path)
    workspace = tmp_path / "ws"
    assert kill_restore(archive, workspace, 2) == 9 and not workspace.exists()
    [scratch] = tmp_path.glob(".ws.tmp-*")
    with pytest.raises(StoreError) as told:  # nobody takes an empty workspace for the one that was there
        Library(workspace)
    assert str(scratch) in told.value.message and "mv '" in told.value.hint
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(InputError):
        restore(cut, workspace, unheard, replace=True)
    cut.unlink()
    with pytest.raises(InputError, match="already"):  # it is back in its place, and not to be replaced unasked
        restore(archive, workspace, unheard)
    assert dump(workspace) == before
    restore(archive, workspace, unheard, replace=True)
    assert dump(workspace) == dump(saved[0])
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


def test_what_a_kill_left_is_not_deleted_for_one_that_was_made_since(saved, tmp_path):
    archive, before = old_and_backup(saved, tmp_path)
    workspace = tmp_path / "ws"
    assert kill_restore(archive, workspace, 2) == 9
    shutil.copytree(saved[0], workspace)
    with pytest.raises(StoreError, match="halfway"):
        restore(archive, workspace, unheard, replace=True)
    [scratch] = tmp_path.glob(".ws.tmp-*")
    shutil.rmtree(workspace)
    restore(archive, tmp_path / "elsewhere", unheard)
    with pytest.raises(InputError, match="already"):
        restore(archive, workspace, unheard)
    assert dump(workspace) == before and not scratch.exists()


def test_only_who_is_at_work_is_called_so(saved, tmp_path, monkeypatch):
    archive, before = old_and_backup(saved, tmp_path)
    connect = sqlite3.connect

    class Failing(sqlite3.Connection):
        def execute(self, statement, *given):
            if statement == "BEGIN EXCLUSIVE":
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(statement, *given)

    monkeypatch.setattr(restoring.sqlite3, "connect", lambda *given, **named: connect(*given, **named, factory=Failing))
    with pytest.raises(StoreError, match="disk I/O error"):
        restore(archive, tmp_path / "ws", unheard, replace=True)
    monkeypatch.undo()
    assert dump(tmp_path / "ws") == before


def test_a_workspace_that_is_made_there_meanwhile_stays(saved, tmp_path, monkeypatch):
    ready = restoring._make_ready

    def meanwhile(folder, listen):
        ready(folder, listen)
        Library(tmp_path / "ws").close()

    monkeypatch.setattr(restoring, "_make_ready", meanwhile)
    with pytest.raises(InputError, match="already"):
        restore(saved[1], tmp_path / "ws", unheard)
    with Library(tmp_path / "ws") as library:
        assert library.documents.all() == []
