"""What cannot be forked is refused with a hint, and leaves nothing behind."""

from dataclasses import dataclass, replace

import pytest
from forked import everything, step_of

from rereader.agents.settings import ReadingSettings
from rereader.graphs.registry import get_graph
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.changing import check_settings
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


def test_a_setting_that_decides_whether_a_node_is_there_is_refused_after_it(room):
    entered = room("retrieval")
    answer = entered.ask()
    step = step_of(entered, answer, "index")
    with pytest.raises(InputError, match=f"ranker cannot change after step {step} \\(index\\)"):
        entered.session.fork(answer.run_id, step, settings={"ranker": "bm25"})
    assert entered.session.fork(answer.run_id, step - 1, settings={"ranker": "bm25"}).answer


def test_a_setting_that_says_nothing_is_fixed_by_the_first_step(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    steps = entered.library.runs.steps(answer.run_id)
    graph = get_graph("compressed-memory")
    before, after = (graph.settings({"evidence_words": words}) for words in (100, 200))
    check_settings(graph, before, after, steps)

    @dataclass(frozen=True)
    class Mute(ReadingSettings):
        evidence_words: int = 100

    mute = replace(graph, settings_type=Mute)
    check_settings(mute, Mute(evidence_words=100), Mute(evidence_words=200), [])
    with pytest.raises(InputError, match="evidence_words cannot change after step 1"):
        check_settings(mute, Mute(evidence_words=100), Mute(evidence_words=200), steps)
