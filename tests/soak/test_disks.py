"""Files that were cut, a disk that is full or locked, a clock that jumps: the right answer, or one clear line."""

import pytest

from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.testing.soak.cases import Ask, environment, local_cases, served
from rereader.testing.soak.children import Children
from rereader.testing.soak.disk import NoDisk, small_disk
from rereader.testing.soak.files import injure_all, interrupted
from rereader.testing.soak.kills import Killing

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def error_of(ended):
    lines = [line for line in ended.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "Traceback" not in ended.err, ended.err
    return lines[0]


@pytest.fixture
def disk(tmp_path):
    """Workspaces on a small disk; skips where none can be mounted."""
    try:
        with small_disk(tmp_path / "disk", kilobytes=700) as mounted:
            yield mounted
    except NoDisk as reason:
        pytest.skip(f"no disk can be mounted: {reason}")


def test_cut_files_give_the_same_answer_or_one_clear_line(children, tiny, tmp_path):
    [case] = [one for one in local_cases(tiny) if one.name == "kv"]
    answer = interrupted(case, children, tmp_path)
    kinds = ("library", "library's log", "index", "block", "checkpoints' log")
    injuries = list(injure_all(case, children, tmp_path, answer, seed=0, kinds=kinds))
    assert {injury.kind for injury in injuries} == set(kinds)
    assert [injury for injury in injuries if injury.faults] == []
    assert all(injury.mended for injury in injuries if injury.kind != "library")


def test_a_full_disk_is_said_and_what_was_done_is_kept(chat, children, disk):
    case = Ask(served(chat.url), "compressed-memory", ("gist=model",))
    case.prepare(disk.folder, children)
    ended = children.run(case.command(disk.folder))
    assert ended.code == 2 and "No space left" in error_of(ended)
    disk.resize(64_000)
    before = len(chat.seen)
    ended = children.run(case.command(disk.folder))
    assert ended.code == 0, ended.err
    with Library(disk.folder / "workspace") as library:
        assert [one for one in check_library(library) if one.state == "problem"] == []
        made = library.database.row("SELECT COUNT(*) FROM calls WHERE method != 'embed'")[0]
    assert len(chat.seen) - before <= made


@pytest.mark.parametrize("command", [["documents"], ["runs", "list"], ["add", "document.txt"]])
def test_a_locked_disk_is_said_in_one_line(chat, children, disk, command):
    case = Ask(served(chat.url), "retrieval")
    disk.resize(64_000)
    case.prepare(disk.folder, children)
    assert children.run(case.command(disk.folder)).code == 0
    disk.lock()
    given = [str(disk.folder / part) if part.endswith(".txt") else part for part in command]
    ended = children.run([*given, "--workspace", str(disk.folder / "workspace"), "--json"])
    assert ended.code == 2 and "Cannot write to" in error_of(ended)


def test_a_clock_that_jumps_changes_nothing(chat, tmp_path):
    variables = environment(tmp_path, tmp_path / "models")
    with Children("rereader.cli.main:run", tmp_path / "out", variables, clock=7) as unsettled:
        case = Ask(served(chat.url), "compressed-memory", ("gist=model",))
        tally = Killing(case, unsettled, tmp_path, lambda: len(chat.seen)).run(seed=2, kills=2)
    assert tally.losses == []
    assert tally.kills > 0
