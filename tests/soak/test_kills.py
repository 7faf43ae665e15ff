"""The command line, killed in the middle of its work: a few seeded moments of what ``make soak`` does at length."""

import sqlite3

import pytest

from rereader.testing.soak.cases import Add, Ask, local_cases, served, served_cases
from rereader.testing.soak.children import Moment
from rereader.testing.soak.kills import Killing
from rereader.testing.soak.snapshots import kept, lost, opened_copy, outcome

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.mark.parametrize("name", ["add", "compressed-memory", "fork", "bench"])
def test_a_kill_costs_nothing_that_was_finished(chat, children, tmp_path, name):
    [case] = [one for one in served_cases(served(chat.url)) if one.name == name]
    tally = Killing(case, children, tmp_path, lambda: len(chat.seen)).run(seed=1, kills=2)
    assert tally.losses == []
    assert tally.kills > 0


@pytest.mark.parametrize("name", ["kv", "train"])
def test_a_kill_of_a_local_model_costs_nothing_that_was_finished(children, tiny, tmp_path, name):
    [case] = [one for one in local_cases(tiny) if one.name == name]
    tally = Killing(case, children, tmp_path).run(seed=0, kills=2)
    assert tally.losses == []
    assert tally.kills > 0


def test_a_child_dies_before_the_access_that_was_named(chat, children, tmp_path):
    case = Add(served(chat.url))
    case.prepare(tmp_path, children)
    ended = children.run(case.command(tmp_path), Moment(access=40))
    assert ended.killed
    assert children.run(case.command(tmp_path)).accesses > 40


def test_what_is_lost_or_other_is_seen(chat, children, tmp_path):
    case = Ask(served(chat.url), "retrieval")
    case.prepare(tmp_path, children)
    assert children.run(case.command(tmp_path)).code == 0
    with opened_copy(tmp_path / "workspace") as library:
        before, made = kept(library), outcome(library)
    with sqlite3.connect(tmp_path / "workspace" / "library.db") as harmed:
        harmed.execute("DELETE FROM working_memory")
        harmed.execute("UPDATE calls SET reply = CAST(reply || ' ' AS BLOB) WHERE method = 'generate'")
    with opened_copy(tmp_path / "workspace") as library:
        assert {name.split()[0] for name in lost(before, kept(library))} == {"working_memory", "calls"}
        assert outcome(library) != made
