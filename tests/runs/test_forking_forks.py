"""Forks of forks ask what their row says, a node may have any name, and a kill leaves no half of a fork."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest
from forked import after, everything, rows_of, step_of

from rereader.agents.chunker import chunk
from rereader.agents.whole_text import read_all
from rereader.graphs import registry
from rereader.graphs.full_context import FullContextSettings
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import connect, new_graph
from rereader.memory.care.collecting import Wanted, make_plan
from rereader.memory.care.depth import Depth, unheard
from rereader.memory.care.repairs import leftovers, repair
from rereader.memory.care.sweeping import sweep
from rereader.memory.forks import copy_checkpoints
from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.runs import forking, session
from rereader.runs.edits import Edit
from rereader.runs.forking import compare_with_parent, make_fork, memory_at
from rereader.schema import NotThere
from rereader.testing.conformance_room import FACTS, TEXT

OTHER = "Who painted the weathercock of Marrowby?"


@pytest.mark.parametrize("graph", ["memory-agent", "compressed-memory"])
@pytest.mark.parametrize("edited", [False, True])
def test_a_fork_of_a_fork_asks_its_question_from_any_step(room, graph, edited):
    entered = room(graph)
    answer = entered.ask()
    library, at = entered.library, step_of(entered, answer, "answer") - 1
    edits = [Edit("drop", memory_at(library, answer.run_id, at)[0].record.id)] if edited else []
    first = entered.session.fork(answer.run_id, at, question=OTHER, edits=edits)
    for step in range(len(library.runs.steps(first.run_id)) + 1):
        forked = entered.session.fork(first.run_id, step)
        run = library.runs.get(forked.run_id)
        assert run.question == forked.question == OTHER
        calls = [call for one in after(entered, forked, step) for call in one.calls]
        asked = {piece["text"] for call in calls for piece in call.slots.get("question", [])}
        assert asked == ({OTHER} if calls else set()), f"forked at step {step}"
        if step > at:
            assert (forked.answer, forked.status) == (first.answer, first.status)
    fresh = entered.ask(OTHER)
    again = entered.session.fork(first.run_id, 1)
    assert (again.answer, again.confidence) == (fresh.answer, fresh.confidence)
    assert [one.node for one in library.runs.steps(again.run_id)] == [
        one.node for one in library.runs.steps(fresh.run_id)
    ]


def test_a_fork_of_a_fork_takes_the_way_that_its_settings_choose(room):
    entered = room("compressed-memory", waves=3)
    answer = entered.ask()
    steps = [step.number for step in entered.library.runs.steps(answer.run_id) if step.node == "reason"]
    assert len(steps) > 2
    for edits in ([], [Edit("add", span=f"{TEXT.index(FACTS[0])}-{TEXT.index(FACTS[0]) + 40}")]):
        first = entered.session.fork(answer.run_id, steps[1], settings={"waves": 1}, edits=edits)
        for step in steps[:2]:
            forked = entered.session.fork(first.run_id, step)
            assert [one.node for one in after(entered, forked, step)] == ["answer", "finish"]


@pytest.fixture
def editing_graph():
    """A graph with a node that has the name of the steps in which users change a memory."""

    @reading_graph("edits-itself", system="ours", honesty="ours", settings=FullContextSettings)
    def build(settings):
        works = [("chunk", chunk), ("edit", read_all)]
        graph = new_graph(works)
        for origin, goal in pairwise([*(name for name, _ in works), "finish"]):
            connect(graph, origin, goal)
        return graph

    yield "edits-itself"
    del registry._GRAPHS["edits-itself"]


def test_a_node_may_be_named_edit(room, editing_graph):
    entered = room(editing_graph)
    answer = entered.ask()
    library = entered.library
    assert [step.node for step in library.runs.steps(answer.run_id)] == ["chunk", "edit", "finish"]
    for step in (0, 1):
        forked = entered.session.fork(answer.run_id, step, edits=[Edit("add", text="A note.")])
        compared = compare_with_parent(library, library.runs.get(forked.run_id))
        assert compared.same and len(compared.unseen) == 1
        assert [one.node for one in library.runs.steps(forked.run_id)].count("edit") == 2


KILLED = """
import os, sys
from pathlib import Path
from rereader.memory import forks
from rereader.runs import forking
from rereader.testing.conformance_room import echoing_models
from rereader.testing.sessions import scripted_session

def copied(*given):
    forks.copy_checkpoints(*given)
    os._exit(9)

forking.copy_checkpoints = copied
scripted_session(Path(sys.argv[1]), echoing_models()).fork(sys.argv[2], 2)
"""


def test_a_kill_while_a_fork_is_made_leaves_a_file_that_the_doctor_tells_of(room):
    entered = room("memory-agent")
    answer = entered.ask()
    workspace, run_id = entered.library.workspace, answer.run_id
    before, rows = everything(entered.library), rows_of(entered.library, run_id)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(workspace), run_id], env=dict(os.environ), capture_output=True, timeout=120
    )
    assert killed.returncode == 9, killed.stderr.decode()
    with Library(workspace) as library:
        assert [run.id for run in library.runs.all()] == [run_id]
        assert everything(library)[0] == before[0] and rows_of(library, run_id) == rows
        [left] = set(everything(library)[1]) - set(before[1])
        [told] = [one for one in check_library(library) if one.state == "warning"]
        assert left in told.what and "1 file that belongs to nothing" in told.what
    assert entered.session.fork(run_id, 2).answer == answer.answer


def collected(library, **wanted):
    with Library(library.workspace) as other:
        plan = make_plan(other, Wanted(**wanted))
        sweep(other, plan, unheard)
        return plan


def test_nobody_takes_a_fork_that_is_being_made_for_a_leftover(room, monkeypatch):
    entered = room("memory-agent")
    parent = entered.ask().run_id
    mended = []

    def copied(*given):
        copy_checkpoints(*given)
        collected(entered.library)
        with Library(entered.library.workspace) as other:
            mended.extend(repair(other, Depth(), [leftovers]))

    def made(*given):
        run = make_fork(*given)
        assert collected(entered.library, keep_last=0).runs == []
        return run

    monkeypatch.setattr(forking, "copy_checkpoints", copied)
    monkeypatch.setattr(session, "make_fork", made)
    forked = entered.session.fork(parent, 2, question=OTHER)
    assert mended == [] and {run.id for run in entered.library.runs.all()} == {parent, forked.run_id}
    assert entered.library.checkpoint_path(forked.run_id).exists()


def test_a_fork_whose_parent_is_collected_meanwhile_is_refused(room, monkeypatch):
    entered = room("memory-agent")
    parent = entered.ask().run_id

    def copied(*given):
        copy_checkpoints(*given)
        assert collected(entered.library, keep_last=0).runs == [parent]

    monkeypatch.setattr(forking, "copy_checkpoints", copied)
    with pytest.raises(NotThere, match=parent):
        entered.session.fork(parent, 2)
    assert everything(entered.library)[1] == [] and entered.library.runs.all() == []
