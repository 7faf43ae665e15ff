"""What cannot be forked is refused with a hint, and leaves nothing behind."""

from dataclasses import fields

import pytest
from forked import everything, step_of

from rereader.graphs.registry import all_graphs
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs import changing
from rereader.runs.edits import Edit
from rereader.runs.forking import memory_at
from rereader.runs.session import Session
from rereader.schema import InputError, StoreError


@pytest.mark.parametrize(
    ("graph", "node", "change", "said"),
    [
        ("compressed-memory", "reason", {"chunk_tokens": 64}, "Fork at --step 0"),
        ("compressed-memory", "index", {"gist": "extract", "gist_share": 0.5}, "Fork at --step 1"),
        ("compressed-memory", "gate", {"order": "scan"}, "Fork at --step 0"),
        ("memory-agent", "read", {"block_tokens": 100}, "Fork at --step 1"),
        ("ledger", "gate", {"kind": "whole"}, "Fork at --step 1"),
        ("recursive", "act", {"mode": "code"}, "Fork at --step 1"),
    ],
)
def test_a_setting_that_steps_have_worked_by_is_refused(room, graph, node, change, said):
    entered = room(graph)
    answer = entered.ask()
    before = everything(entered.library)
    with pytest.raises(InputError, match="cannot change after step") as caught:
        entered.session.fork(answer.run_id, step_of(entered, answer, node), settings=change)
    assert said in caught.value.hint
    assert everything(entered.library) == before
    entered.session.fork(answer.run_id, int(said.rsplit(maxsplit=1)[1]), settings=change)


def test_models_that_cannot_go_on_are_refused(room):
    entered = room("memory-agent")
    answer = entered.ask()
    before = everything(entered.library)
    session = Session(entered.library, Models(reader=ScriptedModel(["x"], name="o")), entered.session.counter)
    with pytest.raises(InputError, match="The reader cannot change after step 2"):
        session.fork(answer.run_id, 3)
    assert everything(entered.library) == before


@pytest.mark.parametrize(("step", "said"), [(-1, "has no step -1"), (99, "has no step 99")])
def test_a_step_that_is_none_is_refused(room, step, said):
    entered = room("compressed-memory")
    answer = entered.ask()
    before = everything(entered.library)
    with pytest.raises(InputError, match=said):
        entered.session.fork(answer.run_id, step)
    assert everything(entered.library) == before


def test_a_run_without_checkpoints_is_refused(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    entered.library.checkpoint_path(answer.run_id).unlink()
    with pytest.raises(InputError, match="Nothing is kept"):
        entered.session.fork(answer.run_id, 1)
    assert not entered.library.checkpoint_path(answer.run_id).exists()
    with pytest.raises(InputError, match="no run"):
        entered.session.fork("nowhere", 1)


BAD = [
    (Edit("drop", "nowhere"), "holds no record"),
    (Edit("edit", "QUOTE", "Other words."), "a quote is the source's own words"),
    (Edit("edit", "QUOTE", "Other words.", span="0-10"), "another one than is given"),
    (Edit("add"), "nothing to add"),
    (Edit("add", text="  "), "nothing to add"),
    (Edit("add", span="here"), "is no place"),
    (Edit("add", span="5-5"), "has no place"),
    (Edit("add", span="9-5"), "has no place"),
    (Edit("add", span="0-99999999"), "has no place"),
    (Edit("add", span="other:0-5"), "no document other"),
    (Edit("add", span="QUOTED"), "quoted already"),
    (Edit("add", text="half \ud800"), "lone surrogate"),
    (Edit("add", span="\ud800:0-5"), "lone surrogate"),
    (Edit("unpin", "QUOTE"), "is not pinned"),
]


@pytest.mark.parametrize(("edit", "said"), BAD, ids=[said for _, said in BAD])
def test_an_edit_that_makes_no_sense_is_refused_and_leaves_nothing(room, edit, said):
    entered = room("compressed-memory")
    answer = entered.ask()
    step = step_of(entered, answer, "reason")
    quote = memory_at(entered.library, answer.run_id, step)[0].record
    span = f"{quote.spans[0].start}-{quote.spans[0].end}" if edit.span == "QUOTED" else edit.span
    edit = Edit(edit.kind, quote.id if edit.record == "QUOTE" else edit.record, edit.text, span)
    before = everything(entered.library)
    with pytest.raises(InputError, match=said) as caught:
        entered.session.fork(answer.run_id, step, edits=[edit])
    assert caught.value.hint
    assert everything(entered.library) == before


def test_what_is_said_twice_is_refused(room):
    entered = room("memory-agent")
    answer = entered.ask()
    step = step_of(entered, answer, "read")
    held = memory_at(entered.library, answer.run_id, step)[0].record.id
    for edits in (
        [Edit("drop", held), Edit("edit", held, "x")],
        [Edit("drop", held), Edit("pin", held)],
        [Edit("pin", held), Edit("drop", held)],
        [Edit("add", text="x"), Edit("add", text="x")],
        [Edit("edit", held, span="0-5")],
        [Edit("edit", held, " ")],
    ):
        with pytest.raises(InputError):
            entered.session.fork(answer.run_id, step, edits=edits)


def test_a_change_after_the_answer_is_refused_with_the_step_before_it(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    step = step_of(entered, answer, "answer")
    quote = memory_at(entered.library, answer.run_id, step)[0].record
    for changes in ({"edits": [Edit("drop", quote.id)]}, {"question": "What?"}, {"settings": {"decline_below": 0.9}}):
        for late in (step, step + 1):
            with pytest.raises(InputError, match="comes too late") as caught:
                entered.session.fork(answer.run_id, late, **changes)
            assert f"--step {step - 1} " in caught.value.hint


def test_what_fails_while_a_fork_is_made_leaves_nothing(room, monkeypatch):
    entered = room("compressed-memory")
    answer = entered.ask()
    before = everything(entered.library)

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr("rereader.runs.forking._move", fail)
    with pytest.raises(StoreError, match="no space"):
        entered.session.fork(answer.run_id, 2, question="Who painted the weathercock?")
    assert everything(entered.library) == before


def test_every_setting_of_our_graphs_is_known_to_change_or_not():
    ours = [graph for graph in all_graphs() if graph.origin.startswith("rereader.graphs.")]
    names = {field.name for graph in ours for field in fields(graph.settings_type)}
    by_the_first_step = {"chunk_tokens", "passage_words", "order", "reads", "variant", "request"}
    assert len(ours) == 9
    assert names - changing._TAKEN_ANEW - set(changing._FIXED_BY) == by_the_first_step
    assert not changing._TAKEN_ANEW & set(changing._FIXED_BY)
    assert changing._TAKEN_ANEW | set(changing._FIXED_BY) <= names


def test_a_graph_of_others_may_mean_anything_by_the_name_of_a_setting(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    steps = entered.library.runs.steps(answer.run_id)
    old, new = {"evidence_words": 100}, {"evidence_words": 200}
    changing.check_settings(old, new, steps, ours=True)
    changing.check_settings(old, new, [], ours=False)
    with pytest.raises(InputError, match="evidence_words cannot change after step 1"):
        changing.check_settings(old, new, steps, ours=False)
