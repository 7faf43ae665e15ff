"""A workspace comes back from its backup as it was, and nothing from elsewhere is taken for one."""

import json
import os
import shutil
import sqlite3
import stat
import threading
import zipfile
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspaces import BLOCKS, QUESTION, asked, dump

from rereader.memory.care import backup as saving
from rereader.memory.care import restoring
from rereader.memory.care.archive import MANIFEST
from rereader.memory.care.backup import Unreadable, backup
from rereader.memory.care.contents import check_contents
from rereader.memory.care.depth import Depth, unheard
from rereader.memory.care.restoring import restore
from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.runs.doctor.checkpoints import checkpoints_open
from rereader.schema import AtWork, InputError, StoreError
from rereader.testing.sessions import scripted_session

WHOLE = Depth(whole=True)


def faults(folder):
    with Library(folder) as library:
        found = [*check_library(library), *check_contents(library, WHOLE), *checkpoints_open(library, WHOLE)]
    return [one for one in found if one.state != "ok"]


def files(folder):
    kept = (path for path in folder.rglob("*") if path.is_file() and path.suffix in (".faiss", ".safetensors"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_all_comes_back(saved, tmp_path):
    workspace, archive = saved
    manifest = restore(archive, tmp_path / "new", unheard)
    assert dump(tmp_path / "new") == dump(workspace)
    assert files(tmp_path / "new") == files(workspace)
    assert faults(tmp_path / "new") == []
    assert sum(name.startswith("kv/") for name in manifest.parts) > 10
    with Library(tmp_path / "new") as library:
        [run] = library.runs.all()
    session = scripted_session(tmp_path / "new")
    assert session.fork(run.id, 1).answer == run.answer.answer
    again = session.ask(QUESTION, list(run.document_ids), settings=BLOCKS)
    assert again.usage.calls == again.usage.cached_calls
    session.close()


def test_nobody_else_reads_it(saved, tmp_path):
    before = os.umask(0)
    try:
        with Library(saved[0]) as library:
            backup(library, tmp_path / "all.zip", unheard)
        restore(tmp_path / "all.zip", tmp_path / "new", unheard)
    finally:
        os.umask(before)
    made = [tmp_path / "all.zip", *(path for path in (tmp_path / "new").rglob("*"))]
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.suffix != ".lock"] == []


def test_a_lean_one_makes_its_memories_again(saved, tmp_path):
    with Library(saved[0]) as library:
        lean = backup(library, tmp_path / "lean.zip", unheard, memories=False)
    restore(tmp_path / "lean.zip", tmp_path / "new", unheard)
    assert lean.file_bytes < saved[1].stat().st_size
    [note] = faults(tmp_path / "new")
    assert note.state == "note" and "are missing" in note.what
    [again] = asked(tmp_path / "new")
    with Library(saved[0]) as library:
        [run] = library.runs.all()
    assert again.answer == run.answer.answer


def test_it_is_whole_while_others_write(tmp_path):
    asked(tmp_path / "ws")
    stop, questions = threading.Event(), iter(range(10_000))

    def write():
        while not stop.is_set():
            asked(tmp_path / "ws", [f"{QUESTION} {next(questions)}"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(2):
            with Library(tmp_path / "ws") as library:
                backup(library, tmp_path / f"{number}.zip", unheard)
    finally:
        stop.set()
        writer.join()
    for number in range(2):
        restore(tmp_path / f"{number}.zip", tmp_path / f"{number}", unheard)
        assert {one.state for one in faults(tmp_path / f"{number}")} <= {"note"}  # a run that was going on
        session = scripted_session(tmp_path / f"{number}")
        for run in session.library.runs.all():
            assert session.resume(run.id).answer
        session.close()


def test_what_a_kill_left_goes_after_an_hour(saved, tmp_path):
    old, young, other = (tmp_path / name for name in ("a.zip.1f.part", "a.zip.2f.part", "b.zip.1f.part"))
    for path in (old, young, other):
        path.write_bytes(b"x")
    for path in (old, other):
        os.utime(path, (0, 0))
    with Library(saved[0]) as library:
        backup(library, tmp_path / "a.zip", unheard)
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


def test_what_is_there_stays(saved, tmp_path):
    workspace, archive = saved
    shutil.copytree(workspace, tmp_path / "ws")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("Dear")
    with Library(workspace) as library:
        for goal in (archive, tmp_path, tmp_path / "none" / "a.zip", workspace / "a.zip"):
            with pytest.raises(InputError):
                backup(library, goal, unheard)
        backup(library, shutil.copy(archive, tmp_path / "a.zip"), unheard, replace=True)
    for place, forced in ((tmp_path / "ws", False), (tmp_path / "other", False), (tmp_path / "other", True)):
        with pytest.raises(InputError):
            restore(archive, place, unheard, replace=forced)
    assert (tmp_path / "other" / "letter.txt").exists() and not list((tmp_path).glob(".*"))


def test_an_open_workspace_is_not_replaced(saved, tmp_path):
    _, archive = saved
    asked(tmp_path / "ws", ["What else?", "And then?"])
    with Library(tmp_path / "ws") as library:
        with pytest.raises(AtWork, match="open"):
            restore(archive, tmp_path / "ws", unheard, replace=True)
        assert len(library.runs.all()) == 2
    restore(archive, tmp_path / "ws", unheard, replace=True)
    assert dump(tmp_path / "ws") == dump(saved[0])
    (tmp_path / "ws" / "library.db").write_bytes(b"no database" * 500)  # what backups are for
    restore(archive, tmp_path / "ws", unheard, replace=True)
    assert faults(tmp_path / "ws") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ws"]


def rewritten(archive, goal, change):
    """An archive whose parts, as a dictionary, were changed."""
    with zipfile.ZipFile(archive) as before:
        parts = {name: before.read(name) for name in before.namelist()}
    change(parts)
    with zipfile.ZipFile(goal, "w") as after:
        for name, body in parts.items():
            after.writestr(name, body)
    return goal


def named(parts, name, body=b"x"):
    manifest = json.loads(parts[MANIFEST])
    manifest["parts"][name] = {"bytes": len(body), "sha256": "0" * 64}
    parts.update({name: body, MANIFEST: json.dumps(manifest).encode()})


EVIL = {
    "up": lambda parts: named(parts, "../evil"),
    "up inside": lambda parts: named(parts, "kv/../../evil"),
    "absolute": lambda parts: named(parts, "/tmp/evil"),
    "drive": lambda parts: named(parts, "C:\\evil"),
    "dots": lambda parts: named(parts, "kv/........safetensors/x"),
    "other": lambda parts: named(parts, "graphs/evil.py"),
    "checksum": lambda parts: named(parts, f"kv/{'a' * 20}.safetensors"),
    "unnamed": lambda parts: parts.update({"runs/beef.sqlite": b"x"}),
    "missing": lambda parts: parts.pop("library.db"),
    "changed": lambda parts: parts.update({"library.db": parts["library.db"][:-1] + b"!"}),
    "bomb": lambda parts: parts.update({"library.db": parts["library.db"] + bytes(50_000_000)}),
    "no manifest": lambda parts: parts.pop(MANIFEST),
    "manifest": lambda parts: parts.update({MANIFEST: b"[]"}),
    "newer": lambda parts: parts.update({MANIFEST: parts[MANIFEST].replace(b'"format": 1', b'"format": 2')}),
    "newer schema": lambda parts: parts.update({MANIFEST: parts[MANIFEST].replace(b'_version": 6', b'_version": 99')}),
}


@pytest.mark.parametrize("name", EVIL)
def test_what_is_no_backup_is_refused(saved, tmp_path, name):
    evil = rewritten(saved[1], tmp_path / "evil.zip", EVIL[name])
    with pytest.raises(InputError) as refused:
        restore(evil, tmp_path / "deep" / "ws", unheard)
    assert refused.value.hint
    assert sorted(path.name for path in tmp_path.rglob("*")) in (["evil.zip"], ["deep", "evil.zip"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_damage_anywhere_is_found(saved, tmp_path_factory, place, cut):
    folder = tmp_path_factory.mktemp("damaged")
    body = bytearray(saved[1].read_bytes())
    at = int(place * len(body))
    if cut:
        del body[at:]
    else:
        body[at] ^= 0x55
    (folder / "a.zip").write_bytes(body)
    try:
        restore(folder / "a.zip", folder / "ws", unheard)
    except InputError:
        assert not (folder / "ws").exists()
    else:  # a byte that says nothing, like a date
        assert dump(folder / "ws") == dump(saved[0])


def test_files_that_are_not_there_or_something_else(tmp_path):
    (tmp_path / "letter.zip").write_text("Dear")
    for name in ("none.zip", "letter.zip", "."):
        with pytest.raises(InputError):
            restore(tmp_path / name, tmp_path / "ws", unheard)
    assert not (tmp_path / "ws").exists()


def test_a_full_disk_is_said_before(saved, tmp_path, monkeypatch):
    class Little:
        free = 1000

    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda _: Little)
    with pytest.raises(StoreError, match="the disk of"):
        restore(saved[1], tmp_path / "ws", unheard)
    assert not (tmp_path / "ws").exists()


def scratched(path):
    """Write nonsense over pages of a SQLite file, but for the first few, which say what is in it."""
    body = bytearray(path.read_bytes())
    for page in range(len(body) // 4096 // 2, len(body) // 4096):
        body[page * 4096 : page * 4096 + 100] = b"\x7f" * 100
    path.write_bytes(body)


def test_damaged_checkpoints_are_left_out_and_named_and_all_else_is_saved(saved, tmp_path):
    asked(tmp_path / "ws", [QUESTION, "What else?"])
    first, second = sorted((tmp_path / "ws" / "runs").glob("*.sqlite"))
    first.write_bytes(b"no database at all" * 300)
    with Library(tmp_path / "ws") as library:
        made = backup(library, tmp_path / "all.zip", unheard)
    name = f"runs/{first.name}"
    assert list(made.left_out) == [name] and str(first) in made.left_out[name]
    scratched(second)
    with Library(tmp_path / "ws") as library:
        made = backup(library, tmp_path / "all.zip", unheard, replace=True)
    assert list(made.left_out) == [name, f"runs/{second.name}"]
    restore(tmp_path / "all.zip", tmp_path / "new", unheard)
    assert dump(tmp_path / "new") == dump(tmp_path / "ws") and faults(tmp_path / "new") == []


def test_a_damaged_library_takes_no_good_backup_away(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path / "ws")
    archive = tmp_path / "all.zip"
    shutil.copy(saved[1], archive)
    scratched(tmp_path / "ws" / "library.db")
    with (
        Library(tmp_path / "ws") as library,
        pytest.raises(Unreadable, match=r"ws/library\.db cannot be saved") as told,
    ):
        backup(library, archive, unheard, replace=True)
    assert "doctor" in told.value.hint
    assert archive.read_bytes() == saved[1].read_bytes() and sorted(tmp_path.glob("all.zip*")) == [archive]


class Newer(sqlite3.Connection):
    """Tells what SQLite from version 3.44 on says of damaged full-text indexes."""

    said = ("malformed inverted index for FTS5 table main.fulltext_1", 'fts5: corruption found in table "fulltext_2"')

    def execute(self, statement, *given):
        if statement.startswith("PRAGMA quick_check"):
            return super().execute("VALUES (?), (?)", self.said)
        return super().execute(statement, *given)


def test_a_damaged_full_text_index_is_saved_with_the_rest(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Newer))
    with Library(saved[0]) as library:
        made = backup(library, tmp_path / "all.zip", unheard)
        assert made.left_out == {}
        restore(tmp_path / "all.zip", tmp_path / "new", unheard)
        monkeypatch.setattr(Newer, "said", ("Page 7: never used", Newer.said[0]))
        with pytest.raises(Unreadable, match="Page 7: never used"):
            backup(library, tmp_path / "other.zip", unheard)
    assert dump(tmp_path / "new") == dump(saved[0])


def test_what_is_collected_meanwhile_is_not_called_unreadable(saved, tmp_path, monkeypatch):
    asked(tmp_path / "ws", [QUESTION, "What else?"])
    runs = sorted((tmp_path / "ws" / "runs").glob("*.sqlite"))
    reading = saving._reading

    def collected(source):
        runs[0].unlink(missing_ok=True)
        return reading(source)

    monkeypatch.setattr(saving, "_reading", collected)
    with Library(tmp_path / "ws") as library:
        made = backup(library, tmp_path / "all.zip", unheard, memories=False)
    assert (made.left_out, made.parts, runs[0].exists()) == ({}, 2, False)
