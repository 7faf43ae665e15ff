"""Forks that change nothing are the same and cost nothing, and go on after a kill like any run."""

import threading

import pytest
from forked import GRAPHS, Died, after, hash_of, killed_after, rows_of, shortened, step_of, values_of

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.edits import Edit
from rereader.runs.forking import Changes, find_point, make_fork, memory_at, plan_fork
from rereader.schema import InputError, Interrupted, NotThere
from rereader.testing.conformance_room import TEXT, Trial, same_evidence


@pytest.mark.parametrize("graph", GRAPHS)
def test_at_every_step_a_fork_without_a_change_is_the_same_and_calls_no_model(room, graph):
    entered = room(graph)
    answer = entered.ask()
    before, calls = rows_of(entered.library, answer.run_id), len(entered.calls)
    steps = entered.library.runs.steps(answer.run_id)
    for step in range(len(steps) + 1):
        forked = entered.session.fork(answer.run_id, step)
        left_out = {"run_id", "usage"}
        assert forked.model_dump(exclude=left_out)["answer"] == answer.answer
        assert (forked.status, forked.confidence) == (answer.status, answer.confidence)
        assert same_evidence(forked) == same_evidence(answer)
        assert len(entered.calls) == calls, f"a fork at step {step} called a model"
        anew = after(entered, forked, step)
        assert [one.node for one in anew] == [one.node for one in steps[step:]]
        assert all(one.usage.calls == one.usage.cached_calls for one in anew)
        copied = entered.library.runs.steps(forked.run_id)[:step]
        assert copied == steps[:step]
        run = entered.library.runs.get(forked.run_id)
        assert (run.parent, run.forked_at, run.status) == (answer.run_id, step, answer.status)
    assert rows_of(entered.library, answer.run_id) == before


def test_a_fork_of_a_fork_at_every_step_is_the_same_too(room):
    entered = room("memory-agent")
    answer = entered.ask()
    first = entered.session.fork(answer.run_id, 3)
    calls = len(entered.calls)
    for step in range(len(entered.library.runs.steps(first.run_id)) + 1):
        second = entered.session.fork(first.run_id, step)
        assert (second.answer, same_evidence(second)) == (answer.answer, same_evidence(answer))
    assert len(entered.calls) == calls


def test_the_memory_at_a_step_is_that_of_its_point_and_no_call_or_checkpoint_is_read(room, monkeypatch):
    entered = room("memory-agent")
    library, run = entered.library, entered.ask().run_id
    last = library.runs.step_numbers(run)[-1]
    versions = [find_point(library, run, step).version for step in range(last + 1)]
    expected = [library.working_memory(run).read(version) for version in versions]
    library.checkpoint_path(run).unlink()
    monkeypatch.delattr("rereader.memory.runs.RunStore.steps")
    monkeypatch.delattr("rereader.memory.runs.RunStore.steps_alone")
    assert [memory_at(library, run, step) for step in range(last + 1)] == expected
    assert len({str(held) for held in expected}) > 2
    for step in (-1, last + 1):
        with pytest.raises(NotThere, match=f"has no step {step}"):
            memory_at(library, run, step)


def test_where_a_run_can_be_forked_is_found_without_reading_its_calls(room, monkeypatch):
    entered = room("memory-agent")
    run = entered.ask().run_id
    monkeypatch.delattr("rereader.memory.runs.RunStore.steps")
    assert find_point(entered.library, run, 2).step == 2


def test_recall_finds_memories_of_before_the_fork(room):
    entered = room("memory-agent", lambda: Models(reader=ScriptedModel(recalling, name="reader")), recall=True)
    answer = entered.ask()
    library, calls = entered.library, len(entered.calls)
    step = step_of(entered, answer, "read", 2)
    forked = entered.session.fork(answer.run_id, step)
    assert len(entered.calls) == calls and forked.answer == answer.answer
    assert any("<recalled>" in str(call.prompt) for call in entered.calls)
    assert len(library.records.of_run(forked.run_id)) == len(library.records.of_run(answer.run_id))


def recalling(prompt):
    return f"RECALL: ferry memory\nMEMORY: ferry memory {hash_of(prompt)}"


def test_an_interrupted_fork_goes_on(room):
    entered = room("memory-agent", lambda: Models(reader=ScriptedModel(shortened, name="reader")))
    answer = entered.ask()
    library = entered.library
    step = step_of(entered, answer, "read", 0)
    edits = [Edit("edit", memory_at(library, answer.run_id, step)[0].record.id, "Nothing but fog.")]
    expected = entered.session.fork(answer.run_id, step, edits=edits)
    total = len(after(entered, expected, step))
    for number in range(step + 2, step + total):
        with Trial("memory-agent", library.workspace.parent, values_of("memory-agent"), models=fogged).room(
            f"again{number}"
        ) as again:
            parent = again.ask()
            held = memory_at(again.library, parent.run_id, step)[0].record.id
            forked = stopped_and_resumed(again, parent, step, [Edit("edit", held, "Nothing but fog.")], number)
            assert forked.answer == expected.answer
            assert len(again.calls) == len(set_of(again.calls)), "no call was made twice"


def fogged():
    return Models(reader=ScriptedModel(shortened, name="reader"))


def set_of(calls):
    return {(call.method, str(call.prompt), call.how) for call in calls}


def stopped_and_resumed(room, parent, step, edits, number):
    cancel = threading.Event()

    def stop(event):
        if event.kind == "step" and event.step == number:
            cancel.set()

    with pytest.raises(Interrupted):
        room.session.fork(parent.run_id, step, edits=edits, listen=stop, cancel=cancel)
    [run] = [one for one in room.library.runs.all() if one.parent == parent.run_id]
    assert run.status == "interrupted"
    return room.session.resume(run.id)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_fork_killed_after_any_step_goes_on_to_the_same(room, graph):
    entered = room(graph)
    answer = entered.ask()
    runs, calls = entered.library.runs, len(entered.calls)
    last = runs.steps(answer.run_id)[-1].number
    for number in range(2, last + 1):
        killed_after(runs, number)
        with pytest.raises(Died):
            entered.session.fork(answer.run_id, 1)
        run = runs.all()[0]
        assert (run.parent, run.forked_at) == (answer.run_id, 1)
        forked = entered.session.resume(run.id)
        assert (forked.answer, same_evidence(forked)) == (answer.answer, same_evidence(answer))
    assert len(entered.calls) == calls


def test_a_killed_run_can_be_forked_where_it_came_to(room):
    entered = room("memory-agent")
    whole = entered.ask()
    runs = entered.library.runs
    killed_after(runs, 4)
    with pytest.raises(Died):
        entered.ask()
    killed = runs.all()[0]
    assert entered.session.fork(killed.id, 3).answer == whole.answer
    with pytest.raises(InputError, match="Nothing is kept of run") as caught:
        entered.session.fork(killed.id, 4)  # its step was stored, its checkpoint was not
    assert "runs resume" in caught.value.hint


def test_a_workspace_stays_sound_and_forks_go_with_their_document(room):
    from rereader.memory.invariants import check_library

    entered = room("compressed-memory")
    answer = entered.ask()
    forked = entered.session.fork(answer.run_id, step_of(entered, answer, "reason"), edits=[Edit("add", span="0-40")])
    assert not [one for one in check_library(entered.library) if one.state in ("problem", "warning")]
    assert entered.library.remove(entered.documents[0].id).runs == 2
    assert not list((entered.library.workspace / "runs").glob(f"{forked.run_id}*"))
    assert not entered.library.database.rows("SELECT 1 FROM records")


def test_a_fork_that_is_made_and_not_begun_can_be_gone_on_with(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    library, calls = entered.library, len(entered.calls)
    edits = [Edit("add", span="0-40", pinned=True)]
    for step in (0, 3):
        plan = plan_fork(entered.session, find_point(library, answer.run_id, step), Changes(edits))
        run = make_fork(library, plan)
        assert run.status == "interrupted" and run.answer is None
        forked = entered.session.resume(run.id)
        assert TEXT[:40].strip() in {one.quote for one in forked.evidence}
    assert len(entered.calls) > calls
