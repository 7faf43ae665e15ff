"""Whatever can be made again is made again, what is gone is said, and nobody at work is harmed."""

import shutil
import sqlite3
from contextlib import closing

import faiss
import pytest
from banked import cut_short, flip

from rereader.config import Config
from rereader.memory.care import repairs
from rereader.memory.care.contents import check_contents
from rereader.memory.care.depth import Depth
from rereader.memory.care.hints import RESTORE
from rereader.memory.fulltext import FullText
from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.memory.locks import caring, lock_at
from rereader.runs.doctor.checkpoints import checkpoints_open
from rereader.runs.doctor.scope import Scope
from rereader.runs.doctor.workspace import mend_workspace
from rereader.schema import AtWork, Busy
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

QUESTION = "When was the mill sold?"
WHOLE = Depth(whole=True)
BLOCKS = {"gist": "extract", "reads": "kv", "chunk_tokens": 60, "decline_below": 0}


def ask_all(folder):
    """A workspace with gists, raw passages, blocks, a run finished and what they found."""
    session = scripted_session(folder)
    text = plant(essay(5, 120), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="essay", source="e", loader="text/1")
    answers = [
        session.ask(QUESTION, [document.id], settings=BLOCKS),
        session.ask(QUESTION, [document.id], graph="retrieval"),
    ]
    session.close()
    return [(answer.answer, [one.quote for one in answer.evidence]) for answer in answers]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ws"


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A workspace that was asked twice, and what it said."""
    made = tmp_path_factory.mktemp("used") / "ws"
    return made, ask_all(made)


@pytest.fixture
def answers(used, folder):
    """What the workspace said that the folder holds a copy of."""
    shutil.copytree(used[0], folder)
    return used[1]


def faults(folder):
    with Library(folder) as library:
        found = [*check_library(library), *check_contents(library, WHOLE), *checkpoints_open(library, WHOLE)]
    return [one for one in found if one.state != "ok"]


def mend(folder):
    return mend_workspace(Scope(Config(workspace=folder), measure=True))


def harm(folder, *statements):
    with closing(sqlite3.connect(folder / "library.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def other_vectors(folder):
    path = sorted(folder.glob("index/*.faiss"))[0]
    index = faiss.read_index(str(path))
    vectors = index.reconstruct_n(0, index.ntotal)
    vectors[index.ntotal // 2] *= -1
    other = faiss.IndexFlatIP(index.d)
    other.add(vectors)
    faiss.write_index(other, str(path))


def first_block(folder):
    return sorted(folder.glob("kv/??/*"))[0]


SQL = {
    "a column": "ALTER TABLE runs DROP COLUMN forked_at",
    "an index": "DROP INDEX vectors_by_chunk",
    "a length": "UPDATE documents SET length = length + 5",
    "a gap": "UPDATE chunks SET start = start + 1 WHERE ordinal = 1",
    "passages": "DELETE FROM passages WHERE id = 2",
    "no full text": "DROP TABLE fulltext_1",
    "full text of others": "INSERT INTO fulltext_1 (rowid, text) VALUES (99999, 'mill')",
    "full text damaged": "UPDATE fulltext_1_data SET block = x'00' WHERE id > 10",
    "vectors": "DELETE FROM vectors WHERE ordinal = 3",
    "short vectors": "UPDATE vectors SET vector = x'00000000' WHERE ordinal = 2",
    "calls": "UPDATE calls SET reply = x'7b7b7b'",
    "rows of nothing": "INSERT INTO chunks VALUES (77, 0, 'x', 0, 5, 1)",
    "full text of nothing": "CREATE VIRTUAL TABLE fulltext_77 USING fts5(text, content='')",
}
FILES = {
    "other vectors": other_vectors,
    "no index": lambda folder: sorted(folder.glob("index/*.faiss"))[0].unlink(),
    "damaged index": lambda folder: cut_short(sorted(folder.glob("index/*.faiss"))[0]),
    "damaged block": lambda folder: flip(first_block(folder)),
    "no block": lambda folder: first_block(folder).unlink(),
    "index of nothing": lambda folder: (folder / "index" / "space-77-0000.faiss").write_bytes(b"x"),
    "run of nothing": lambda folder: (folder / "runs" / "beef.sqlite").write_bytes(b"x"),
    "rights": lambda folder: (folder / "library.db").chmod(0o644),
}


def test_nothing_is_mended_where_nothing_is_wrong(folder, answers):
    assert faults(folder) == [] == mend(folder)
    assert ask_all(folder) == answers


@pytest.mark.parametrize("name", [*SQL, *FILES])
def test_what_can_be_made_again_is(folder, answers, name):
    harm(folder, SQL[name]) if name in SQL else FILES[name](folder)
    assert faults(folder)
    said = mend(folder)
    assert {one.state for one in said} == {"mended"}
    assert {one.state for one in faults(folder)} <= {"note"} and mend(folder) == []  # half made is worth a note
    assert ask_all(folder) == answers


def test_what_is_lost_stays_a_problem(folder, answers):
    harm(
        folder,
        "UPDATE text_blocks SET text = replace(text, '1822', '1823')",
        "UPDATE records SET content = content || '.' WHERE rowid = (SELECT MAX(rowid) FROM records)",
    )
    assert mend(folder) == []
    told = " ".join(one.what for one in faults(folder))
    assert all(words in told for words in ("text was changed", "stand nowhere", "records that were changed"))
    assert {one.state for one in faults(folder)} == {"problem"}


def test_rows_of_a_removed_run_go_and_what_lost_its_owner_stays(folder, answers):
    step = "INSERT INTO steps VALUES ('{}', 1, 'gate', 0, 0, 0, '{{}}', '{{}}')"
    harm(folder, step.format("removed"), "INSERT INTO tombstones VALUES ('removed', 'collected', 0)")
    [said] = mend(folder)
    assert (said.state, "1 row that referred to nothing" in said.what) == ("mended", True)
    assert faults(folder) == []
    harm(folder, step.format("lost"), "DELETE FROM documents")
    mend(folder)
    with Library(folder) as library:
        [row] = library.database.rows("SELECT SUM(LENGTH(text)) FROM text_blocks")
        assert row[0] > 5000 and library.database.rows("SELECT 1 FROM steps WHERE run_id = 'lost'")
    assert any(one.state == "problem" and "refer to" in one.what and "gone" in one.what for one in faults(folder))


def test_damaged_checkpoints_go_and_the_run_begins_anew(folder):
    session = scripted_session(folder)
    text = plant(essay(5, 120), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="essay", source="e", loader="text/1")
    answer = session.ask(QUESTION, [document.id], settings=BLOCKS)
    session.library.database.execute("UPDATE runs SET answer = NULL, status = 'interrupted'")
    session.close()
    (folder / "runs" / f"{answer.run_id}.sqlite").write_bytes(b"no database at all" * 300)
    assert any("damaged checkpoints" in one.what for one in faults(folder))
    [said] = mend(folder)
    assert (said.state, answer.run_id in said.what) == ("mended", True)
    session = scripted_session(folder)
    again = session.resume(answer.run_id)
    session.close()
    assert 0 < again.usage.calls == again.usage.cached_calls
    skip = {"usage", "warnings"}
    assert again.model_dump(exclude=skip) == answer.model_dump(exclude=skip)
    assert faults(folder) == []


def test_what_a_process_is_at_work_on_is_left_alone(folder, answers):
    with Library(folder) as library:
        [document] = library.documents.all()
        lock = library.adding_lock(document.id)
    harm(folder, SQL["a gap"], SQL["vectors"])
    with lock_at(lock):
        said = mend(folder)
    assert {one.state for one in said} == {"warning"} and all("left alone" in one.what for one in said)
    assert {one.state for one in mend(folder)} == {"mended"}
    assert faults(folder) == []


def test_one_at_a_time(folder, answers):
    with Library(folder) as library, caring(library.workspace), pytest.raises(AtWork, match="takes care"):
        mend(folder)


def test_a_mend_that_fails_hides_no_other(folder, answers, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repairs.faults, "stale_indexes", full)
    harm(folder, SQL["calls"])
    first, second = mend(folder)
    assert (first.state, "indexes could not be mended" in first.what, second.state) == ("problem", True, "mended")


def test_a_busy_library_is_not_taken_for_a_damaged_one(folder, answers, monkeypatch):
    def busy(*_, **__):
        raise Busy("The workspace is busy.", "Try again.")

    monkeypatch.setattr(FullText, "holds", busy)
    [said] = mend(folder)
    assert (said.state, "full texts could not be mended: The workspace is busy" in said.what) == ("problem", True)


def test_no_row_of_a_library_that_sqlite_cannot_read_is_touched(folder, answers):
    body = bytearray((folder / "library.db").read_bytes())
    for page in range(len(body) // 4096 // 2, len(body) // 4096, 2):
        body[page * 4096 : page * 4096 + 100] = b"\x7f" * 100
    (folder / "library.db").write_bytes(body)
    (folder / "runs" / "beef.sqlite").write_bytes(b"x")
    [said] = mend(folder)
    assert (said.state, "damaged beyond repair" in said.what, said.mend) == ("problem", True, RESTORE)
    assert (folder / "library.db").read_bytes() == body and (folder / "runs" / "beef.sqlite").exists()
