"""``gc`` lets go of what it may, never of what is at work or needed, and the disk gets the room back."""

import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from rereader.memory.care.collecting import Wanted, make_plan, workspace_bytes
from rereader.memory.care.contents import check_contents
from rereader.memory.care.depth import Depth, unheard
from rereader.memory.care.repairs import repair
from rereader.memory.care.sweeping import sweep
from rereader.memory.invariants import check_library
from rereader.memory.library import NOT_ERASED, Library
from rereader.memory.locks import lock_at
from rereader.runs.session import Session
from rereader.schema import Interrupted
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

QUESTION = "When was the mill sold?"
BLOCKS = {"gist": "extract", "reads": "kv", "chunk_tokens": 60, "decline_below": 0}
DAY = 86_400.0
TEXT = plant(essay(5, 120), ["The mill was sold in 1822."])


def add(session: Session) -> str:
    return session.library.documents.add(TEXT, title="essay", source="e", loader="text/1").id


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """Runs: one alone, one with a fork and its follow-up; from the oldest to the newest."""
    folder = tmp_path_factory.mktemp("used") / "ws"
    session = scripted_session(folder)
    document = add(session)
    alone = session.ask(QUESTION, [document], settings=BLOCKS).run_id
    parent = session.ask(QUESTION, [document], graph="retrieval").run_id
    fork = session.fork(parent, 1).run_id
    after = session.ask("Who walks in winter?", [document], graph="retrieval", parent=fork).run_id
    session.close()
    return folder, [alone, parent, fork, after]


@pytest.fixture
def library(used, tmp_path):
    shutil.copytree(used[0], tmp_path / "ws")
    with Library(tmp_path / "ws") as opened:
        yield opened


@pytest.fixture
def runs(used):
    return used[1]


def age(library, run, days):
    library.database.execute("UPDATE runs SET updated_at = ? WHERE id = ?", (time.time() - days * DAY, run))


def collect(library, **wanted):
    plan = make_plan(library, Wanted(**wanted))
    return plan, sweep(library, plan, unheard)


def is_well(library):
    found = [*check_library(library), *check_contents(library, Depth(whole=True))]
    return [one for one in found if one.state not in ("ok", "note")] == []


def left(library):
    return {run.id for run in library.runs.all()}


def test_nothing_goes_unasked(library, runs):
    plan, said = collect(library)
    assert (plan.counts(), said, left(library)) == ({}, [], set(runs))


def test_old_runs_go_and_leave_tombstones(library, runs):
    for run in runs:
        age(library, run, 100)
    age(library, runs[0], 1)
    plan, said = collect(library, older_than=30 * DAY)
    assert plan.runs == [*reversed(runs[1:])] and said == []
    assert left(library) == {runs[0]} and is_well(library)
    rows = library.database.rows("SELECT id, what FROM tombstones ORDER BY id")
    assert [tuple(row) for row in rows] == [(run, "collected") for run in sorted(runs[1:])]
    assert not library.database.rows("SELECT 1 FROM records WHERE run_id = ?", (runs[1],))
    assert [path for run in runs[1:] for path in library.files_of(run)] == []
    assert library.files_of(runs[0])


def test_what_a_kept_run_comes_from_stays(library, runs):
    plan, _ = collect(library, keep_last=1)
    assert plan.runs == [runs[0]] and set(plan.kept) == set(runs[1:3])
    assert left(library) == set(runs[1:]) and is_well(library)
    assert library.records.of_run(runs[3]) or library.runs.steps(runs[3])


def test_keep_last_counts_before_age(library, runs):
    for run in runs:
        age(library, run, 100)
    age(library, runs[0], 90)
    assert make_plan(library, Wanted(older_than=30 * DAY, keep_last=1)).runs == [*reversed(runs[1:])]
    assert make_plan(library, Wanted(older_than=200 * DAY, keep_last=0)).runs == []


def test_a_run_at_work_is_never_touched(library, runs):
    with lock_at(library.run_lock(runs[0])):
        plan, _ = collect(library, keep_last=0)
        assert runs[0] in plan.kept and left(library) == {runs[0]}
    library.database.execute("UPDATE runs SET status = 'running'")  # about to take its lock
    assert make_plan(library, Wanted(keep_last=0)).runs == []
    age(library, runs[0], 1)  # it was killed long ago
    assert make_plan(library, Wanted(keep_last=0)).runs == [runs[0]]


def test_a_run_that_comes_to_work_meanwhile_stays(library, runs):
    plan = make_plan(library, Wanted(keep_last=0))
    with lock_at(library.run_lock(runs[0])):
        said = sweep(library, plan, unheard)
    assert left(library) == {runs[0]} and runs[0] in said[0]


def test_a_fork_made_meanwhile_keeps_its_parent(library, runs, used):
    plan = make_plan(library, Wanted(keep_last=0))
    library.close()
    session = scripted_session(library.workspace)
    fork = session.fork(runs[0], 1).run_id
    sweep(session.library, plan, unheard)
    assert left(session.library) == {runs[0], fork} and is_well(session.library)
    session.close()


def test_what_can_be_made_again_goes_until_the_rest_is_small_enough(library, runs):
    library.database.vacuum()
    before = workspace_bytes(library)
    blocks, calls = library.bank.held(), library.database.rows("SELECT 1 FROM calls")
    plan = make_plan(library, Wanted(max_bytes=before - blocks // 2))
    assert len(plan.again["blocks"]) > 0 and plan.again["calls"] == [] and plan.over == 0
    oldest = library.database.row("SELECT key FROM kv_blocks ORDER BY used_at, key")["key"]
    assert plan.again["blocks"][0] == oldest
    sweep(library, plan, unheard)
    assert workspace_bytes(library) <= before - blocks // 2
    plan, _ = collect(library, max_bytes=1000)
    assert len(plan.again["calls"]) == len(calls) and plan.over > 0
    assert left(library) == set(runs) and is_well(library)


@pytest.mark.parametrize("kind", ["texts", "blocks", "calls"])
def test_a_kind_goes_whole_and_is_made_again(library, runs, kind):
    kept = library.workspace / "kv" / "aaaa.bbbb.safetensors"
    kept.write_bytes(bytes(5000))
    answer = library.runs.get(runs[0]).answer
    plan, _ = collect(library, drop=frozenset({kind}))
    assert set(plan.counts()) == {kind} and plan.bytes[kind] > 1000
    assert kept.exists() is (kind != "texts")
    kept.unlink(missing_ok=True)
    assert is_well(library)
    session = scripted_session(library.workspace)
    again = session.ask(QUESTION, [add(session)], settings=BLOCKS)
    session.close()
    assert (again.answer, again.evidence[0].quote) == (answer.answer, answer.evidence[0].quote)


def test_calls_of_an_unfinished_run_stay(library, runs):
    library.database.execute("UPDATE runs SET answer = NULL WHERE id = ?", (runs[0],))
    assert make_plan(library, Wanted(drop=frozenset({"calls"}))).again["calls"] == []


def test_memories_that_a_run_reads_stay(library, runs):
    library.database.execute("UPDATE runs SET status = 'running' WHERE id = ?", (runs[0],))
    with lock_at(library.run_lock(runs[0])):
        plan, said = collect(library, drop=frozenset({"blocks", "calls"}))
    assert plan.again["blocks"] == [] and plan.again["calls"]
    assert "was not made smaller" in said[0]  # rewriting the file would stop the run


def test_only_what_went_is_said_to_stand_while_another_process_reads(library, runs):
    with closing(sqlite3.connect(library.database.path, isolation_level=None)) as reader:
        library.database.execute("INSERT INTO calls VALUES ('k', 'm', zeroblob(99999), 0)")
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM documents").fetchone()
        library.database.execute("DELETE FROM calls WHERE key = 'k'")
        plan, said = collect(library)
        assert plan.counts() == {} and len(said) == 2 and NOT_ERASED not in said
        assert "was not made smaller" in said[0] and "may still stand" in said[1]
        _, said = collect(library, keep_last=0)
        assert "was not made smaller" in said[0] and said[1:] == [NOT_ERASED]
    assert collect(library)[1] == [] and library.database.free_bytes() == 0


def test_the_disk_gets_the_room_back(library, runs):
    size = library.database.path.stat().st_size
    plan, said = collect(library, keep_last=0, drop=frozenset({"calls"}))
    assert said == [] and library.database.free_bytes() == 0
    assert library.database.path.stat().st_size < size
    assert plan.freed > 0


def test_a_full_disk_is_said(library, runs, monkeypatch):
    class Little:
        free = 100

    monkeypatch.setattr("rereader.memory.care.sweeping.shutil.disk_usage", lambda _: Little)
    _, [said] = collect(library, keep_last=0)
    assert "twice its size" in said and is_well(library)


def test_leftovers_go(library, runs):
    old = library.workspace / "kv" / "half.part"
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    names = [library.workspace / "index" / "space-99-0000.faiss", library.workspace / "runs" / "gone.sqlite", old]
    for path in names[:2]:
        path.write_bytes(b"x")
    young = library.workspace / "kv" / "young.part"
    young.write_bytes(b"x")
    collect(library)
    assert [path.exists() for path in (*names, young)] == [False, False, False, True]


def test_nothing_is_repeated_after_a_kill(used, tmp_path, runs):
    """A plan that was carried out halfway is made again and comes to the same."""
    shutil.copytree(used[0], tmp_path / "ws")
    with Library(tmp_path / "ws") as library:
        plan = make_plan(library, Wanted(keep_last=0))
        plan.runs = plan.runs[:2]
        sweep(library, plan, unheard)
        (tmp_path / "ws" / "runs" / f"{plan.runs[0]}.sqlite").write_bytes(b"x")  # killed between rows and files
        collect(library, keep_last=0)
        assert left(library) == set() and is_well(library)
        assert [path for path in (tmp_path / "ws" / "runs").iterdir() if path.suffix != ".lock"] == []


def test_care_beside_questions_harms_none(used, tmp_path):
    """Repair and gc again and again while questions are asked: every one is answered, and the store is well."""
    folder, stop, failed = tmp_path / "ws", threading.Event(), []
    shutil.copytree(used[0], folder)

    def care():
        with Library(folder) as library:
            while not stop.is_set():
                sweep(library, make_plan(library, Wanted(keep_last=1, drop=frozenset({"texts", "blocks"}))), unheard)
                failed.extend(one for one in repair(library, Depth(whole=True)) if one.state == "problem")

    keeper = threading.Thread(target=care)
    keeper.start()
    session = scripted_session(folder)
    try:
        for number in range(6):
            question = f"{QUESTION} {number}"
            answer = session.ask(question, [add(session)], settings=BLOCKS)
            assert answer.evidence and all(one.verified for one in answer.evidence)
    finally:
        stop.set()
        keeper.join()
    assert failed == [] and is_well(session.library)
    session.close()


def test_a_resumed_run_that_was_collected_is_refused(library, runs):
    library.close()
    session = scripted_session(library.workspace)
    session.library.database.execute("UPDATE runs SET answer = NULL, status = 'interrupted' WHERE id = ?", (runs[0],))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        session.ask("Who keeps bees?", [add(session)], graph="retrieval", cancel=stop)
    sweep(session.library, make_plan(session.library, Wanted(keep_last=0)), unheard)
    assert left(session.library) == set()
    session.close()
    with closing(sqlite3.connect(library.workspace / "library.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM tombstones").fetchone()[0] == 5
