"""The checks of a workspace: silent where all is well, and each finds the damage that it is for."""

import os
from random import Random

import pytest

from rereader.memory.care.contents import CONTENT_CHECKS, check_contents
from rereader.memory.care.depth import Depth
from rereader.memory.invariants import STORE_CHECKS, check_library
from rereader.memory.library import Library
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

QUESTION = "Who walks on the stone road in winter?"


@pytest.fixture
def library(tmp_path):
    session = scripted_session(tmp_path / "ws")
    text = plant(essay(Random().randrange(10**6), 200), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="essay", source="e", loader="text/1")
    session.ask(QUESTION, [document.id], settings={"gist": "extract"})
    session.ask(QUESTION, [document.id], graph="retrieval")
    session.close()
    with Library(tmp_path / "ws") as opened:
        yield opened


def faults(library):
    found = [*check_library(library), *check_contents(library, Depth(whole=True))]
    return [finding for finding in found if finding.state != "ok"]


def test_a_used_workspace_is_well(library):
    found = check_library(library)
    assert faults(library) == []
    assert len(found) >= len(STORE_CHECKS) - 3  # nothing is half made, no text is kept, no memory is compressed
    assert len(check_contents(library, Depth(whole=True))) == len(CONTENT_CHECKS) - 1  # no memory is compressed


def test_an_empty_workspace_is_well(tmp_path):
    with Library(tmp_path / "new") as opened:
        assert faults(opened) == []


DAMAGE = {
    "schema": ("PRAGMA user_version = 99", "schema version"),
    "text": ("UPDATE text_blocks SET text = substr(text, 2) WHERE start = 0", "not whole"),
    "gap": ("UPDATE chunks SET start = start + 1 WHERE ordinal = 1", "cut with gaps"),
    "end": ("UPDATE documents SET length = length + 5", "cut with gaps"),
    "passage": ("UPDATE passages SET end = end + 5000 WHERE id = 3", "out of place"),
    "no chunks": ("DELETE FROM chunks", "cut with gaps"),
    "no passages": ("DELETE FROM passages", "out of place"),
    "a passage lost": ("DELETE FROM passages WHERE id = 2", "out of place"),
    "order": ("UPDATE passages SET start = 0 WHERE id = (SELECT MAX(id) FROM passages)", "out of place"),
    "span": ("UPDATE record_spans SET end = 10000000 WHERE position = 0", "outside of their text"),
    "full text": ("DROP TABLE fulltext_1", "wrong full-text index"),
    "half made": ("UPDATE spaces SET complete = 0", "half made"),
    "run": ("UPDATE runs SET answer = NULL", "not finished"),
    "vectors": ("DELETE FROM vectors WHERE ordinal = 0", "missing or stale"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(library, name):
    statement, words = DAMAGE[name]
    library.database.execute(statement)
    found = faults(library)
    assert any(words in finding.what for finding in found), found
    assert all(finding.mend for finding in found)


def test_rows_that_refer_to_nothing_are_found(library):
    library.database.rows("PRAGMA foreign_keys = OFF")
    library.database.execute("DELETE FROM documents")
    assert any("gone" in finding.what and finding.state == "problem" for finding in faults(library))


def test_files_of_nothing_are_found(library):
    (library.workspace / "index" / "space-77-0000.faiss").write_bytes(b"x")
    (library.workspace / "runs" / "beef.sqlite").write_bytes(b"x")
    [finding] = [one for one in faults(library) if "others may read" not in one.what]
    named = [name in finding.what for name in ("space-77-0000.faiss", "beef.sqlite")]
    assert (finding.state, named) == ("warning", [True, True])


def test_kept_texts_are_told_and_half_written_ones_are_left_over(library):
    kept = library.workspace / "kv" / "one.2f.safetensors"
    kept.parent.mkdir()
    kept.write_bytes(bytes(3_000_000))
    begun = kept.with_suffix(".77.part")
    begun.write_bytes(b"x")
    assert all(".part" not in finding.what for finding in check_library(library))  # somebody may be writing it
    os.utime(begun, (0, 0))
    note, left = (finding for finding in check_library(library) if finding.state != "ok")
    note, left = sorted((note, left), key=lambda finding: finding.state)
    assert note.state == "note" and "1 kept text takes 3 MB" in note.what
    assert left.state == "warning" and "one.2f.77.part" in left.what


def test_a_missing_and_a_damaged_index_are_only_notes(library):
    first, second = sorted(library.workspace.glob("index/*.faiss"))
    first.unlink()
    second.write_bytes(b"no index")
    [finding] = [one for one in faults(library) if "others may read" not in one.what]
    assert (finding.state, "2 FAISS indexes" in finding.what) == ("note", True)


def test_a_run_at_work_is_not_called_unfinished(library):
    from filelock import FileLock

    library.database.execute("UPDATE runs SET answer = NULL, status = 'running'")
    run = library.runs.all()[0].id
    with FileLock(library.run_lock(run)):
        told = [finding.what for finding in faults(library)]
    assert any(run in text and "at work" in text for text in told)


def test_checks_change_nothing(library):
    before = "\n".join(library.database._connection.iterdump())
    faults(library)
    assert "\n".join(library.database._connection.iterdump()) == before
