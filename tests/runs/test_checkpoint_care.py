"""The doctor reads checkpoints without changing a byte, and lets them go only because of damage."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from rereader.memory.care.depth import Depth
from rereader.memory.library import Library
from rereader.runs.doctor.checkpoints import checkpoints_open, drop_broken
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

DEPTHS = [Depth(), Depth(whole=True)]
QUESTION = "When was the mill sold?"


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A workspace with a finished run."""
    folder = tmp_path_factory.mktemp("used") / "ws"
    session = scripted_session(folder)
    text = plant(essay(5, 120), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="essay", source="e", loader="text/1")
    run = session.ask(QUESTION, [document.id], graph="retrieval").run_id
    session.close()
    return folder, run


@pytest.fixture
def library(used, tmp_path):
    shutil.copytree(used[0], tmp_path / "ws")
    with Library(tmp_path / "ws") as opened:
        yield opened


@pytest.fixture
def path(library, used):
    return library.checkpoint_path(used[1])


def plain(path):
    """A file of one piece, as a restore makes it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def killed(path):
    """A file with a journal, as a killed process leaves it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        with connection:
            connection.execute("UPDATE checkpoints SET metadata = metadata || ' '")
        left = {one: one.read_bytes() for one in path.parent.glob(f"{path.name}-*")}
        body = path.read_bytes()
    path.write_bytes(body)
    for name, content in left.items():
        name.write_bytes(content)
    assert path.with_name(f"{path.name}-wal").stat().st_size


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("leave", [lambda path: None, plain, killed], ids=["journalled", "plain", "killed"])
def test_looking_changes_no_byte(library, path, leave, depth):
    leave(path)
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    [found] = checkpoints_open(library, depth)
    assert found.state == "ok"
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before


def change(path, statement):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def left_alone(library, path):
    """What is said of checkpoints that cannot be read and are not known to be damaged; they stay."""
    before = path.read_bytes()
    assert drop_broken(library, Depth(whole=True)) == []
    assert path.read_bytes() == before
    return checkpoints_open(library, Depth())


def test_checkpoints_that_somebody_has_locked_are_read_all_the_same(library, path):
    plain(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert [one.state for one in left_alone(library, path)] == ["ok"]


@pytest.mark.parametrize("reason", ["unable to open database file", "database is locked", "disk I/O error"])
def test_what_cannot_be_opened_stays(library, path, monkeypatch, reason):
    connect = sqlite3.connect

    def refuse(name, *given, **named):
        if path.name in str(name):
            raise sqlite3.OperationalError(reason)
        return connect(name, *given, **named)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    [found] = left_alone(library, path)
    assert (found.state, reason in found.what, bool(found.mend)) == ("warning", True, True)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE checkpoints RENAME COLUMN checkpoint TO body",
        "ALTER TABLE checkpoints RENAME TO checkpoints_2",
        "UPDATE checkpoints SET type = 'cbor'",
    ],
)
def test_checkpoints_of_another_version_stay(library, path, statement):
    change(path, statement)
    assert [one.state for one in left_alone(library, path)] == ["warning"]


@pytest.mark.parametrize("damage", ["no database", "a page", "a value", "cut"])
def test_damaged_ones_go(library, path, used, damage):
    plain(path)
    body = path.read_bytes()
    if damage == "no database":
        path.write_bytes(b"no database at all" * 300)
    elif damage == "a page":
        path.write_bytes(body[:4096] + b"\x7f" * (len(body) - 4096))
    elif damage == "a value":
        change(path, "UPDATE checkpoints SET checkpoint = x'c1c1c1'")
    else:
        path.write_bytes(body[: len(body) // 2])
    [problem] = checkpoints_open(library, Depth())
    assert (problem.state, f"1 run with damaged checkpoints: {used[1]}" in problem.what) == ("problem", True)
    [said] = drop_broken(library, Depth())
    assert (said.state, used[1] in said.what, path.exists()) == ("warning", True, False)


def test_a_run_that_was_begun_meanwhile_keeps_them(library, path, used, monkeypatch):
    change(path, "UPDATE checkpoints SET checkpoint = x'c1c1c1'")
    asked = iter([False, True])  # before and after they were read
    monkeypatch.setattr(library, "is_at_work", lambda _: next(asked))
    assert drop_broken(library, Depth()) == [] and path.exists()
