"""Forks that change something: that, what depends on it, and nothing else is different."""

import pytest
from forked import after, rows_of, shortened, step_of
from hypothesis import given, settings
from hypothesis import strategies as st
from recursive_runs import SEARCH, Runs, Script, rooted

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.edits import Edit, memory_text, read_edits
from rereader.runs.forking import compare_with_parent, memory_at
from rereader.runs.session import Session
from rereader.schema import Budget, InputError, RecordKind
from rereader.testing.conformance_room import FACTS, TEXT


def test_an_edited_memory_has_only_later_blocks_read_again(room):
    entered = room("memory-agent", lambda: Models(reader=ScriptedModel(shortened, name="reader")))
    answer = entered.ask()
    reads = [step.number for step in entered.library.runs.steps(answer.run_id) if step.node == "read"]
    assert len(reads) > 3
    calls = len(entered.calls)
    for place, step in enumerate(reads):
        [held] = memory_at(entered.library, answer.run_id, step)
        made = f"The safe of Ulpelhala {place} is empty"
        forked = entered.session.fork(answer.run_id, step, edits=[Edit("edit", held.record.id, made)])
        fresh = entered.calls[calls:]
        calls = len(entered.calls)
        assert len(fresh) == len(reads) - 1 - place + 1, "the later blocks and the answer"
        assert made in str(fresh[0].prompt)
        anew = after(entered, forked, step)
        assert [one.node for one in anew][:1] == ["edit"]
        assert sum(one.usage.calls - one.usage.cached_calls for one in anew) == len(fresh)
        library = entered.library
        [version] = [one for one in anew if one.node == "edit"]
        [entry] = library.working_memory(forked.run_id).read(version.memory_version)
        assert (entry.record.content, entry.record.agent) == (made, "user: rememberer")
        assert entry.record.parents == (held.record.id,)
        assert (entry.record.spans, entry.record.step) == (held.record.spans, held.record.step)
        [edit] = version.detail["edits"]
        assert edit == {"kind": "edit", "record": held.record.id, "made": entry.record.id}


def test_a_dropped_quote_has_only_the_answer_written_again(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    library, calls = entered.library, len(entered.calls)
    step = step_of(entered, answer, "reason")
    held = memory_at(library, answer.run_id, step)
    gone = next(entry.record for entry in held if "5265" in entry.record.content)
    forked = entered.session.fork(answer.run_id, step, edits=[Edit("drop", gone.id[:8])])
    assert [one.node for one in after(entered, forked, step)] == ["edit", "answer", "finish"]
    assert len(entered.calls) == calls + 1
    assert "5265" not in str(entered.calls[-1].prompt)
    assert "5265" not in forked.answer
    assert gone.id not in {evidence.record for evidence in forked.evidence}
    assert len(forked.evidence) == len(answer.evidence) - 1
    compared = compare_with_parent(library, library.runs.get(forked.run_id))
    assert (compared.same, compared.calls, compared.cached_calls) == (False, 1, 0)


@pytest.mark.parametrize("graph", ["compressed-memory", "ledger"])
def test_an_added_quote_is_read_and_stands_in_the_source(room, graph):
    entered = room(graph)
    answer = entered.ask()
    library, step = entered.library, step_of(entered, answer, "reason")
    start = TEXT.index(FACTS[0])
    place = f"{entered.documents[0].id[:8]}:{start - 1}-{start + len(FACTS[0]) + 1}"
    forked = entered.session.fork(answer.run_id, step, edits=[Edit("add", span=place)])
    [added] = [one for one in forked.evidence if one.quote == FACTS[0]]
    assert added.verified and TEXT[added.start : added.end] == added.quote
    assert FACTS[0] in str(entered.calls[-1].prompt)
    [record] = library.records.get([added.record])
    assert (record.agent, record.kind, record.run_id) == ("user", RecordKind.QUOTE, forked.run_id)
    assert compare_with_parent(library, library.runs.get(forked.run_id)).unseen == ()


def test_a_quote_added_between_waves_is_searched_with(room):
    entered = room("compressed-memory", waves=3)
    answer = entered.ask()
    step = step_of(entered, answer, "reason", 0)
    start = TEXT.index(FACTS[0])
    forked = entered.session.fork(answer.run_id, step, edits=[Edit("add", span=f"{start}-{start + len(FACTS[0])}")])
    assert FACTS[0] in {one.quote for one in forked.evidence}
    assert [one.node for one in after(entered, forked, step)][:3] == ["edit", "gate", "reason"]


def test_a_moved_quote_stands_in_the_source(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    step = step_of(entered, answer, "reason")
    gone = memory_at(entered.library, answer.run_id, step)[0].record
    start = TEXT.index(FACTS[2])
    edits = [Edit("edit", gone.id, span=f"text 0:{start}-{start + len(FACTS[2])}")]
    forked = entered.session.fork(answer.run_id, step, edits=edits)
    quotes = {one.quote for one in forked.evidence}
    assert FACTS[2] in quotes and gone.content not in quotes
    assert all(one.verified for one in forked.evidence)


def test_a_pinned_note_is_never_overwritten(room):
    entered = room("memory-agent")
    answer = entered.ask()
    library = entered.library
    reads = [step.number for step in library.runs.steps(answer.run_id) if step.node == "read"]
    [held] = memory_at(library, answer.run_id, reads[0])
    edits = [Edit("add", text="Do not forget the ferry.", pinned=True)]
    forked = entered.session.fork(answer.run_id, reads[0], edits=edits)
    for step in after(entered, forked, reads[0])[:-2]:
        contents = [e.record.content for e in library.working_memory(forked.run_id).read(step.memory_version, "note")]
        assert "Do not forget the ferry." in contents
        assert len(contents) == 2, "the memory is rewritten beside it"
    assert held.record.content
    assert "Do not forget the ferry." in str(entered.calls[-1].prompt)
    last = after(entered, forked, reads[0])[-1].number - 2
    unpinned = entered.session.fork(
        forked.run_id, reads[1] + 1, edits=[Edit("unpin", pinned_of(library, forked, last))]
    )
    final = library.working_memory(unpinned.run_id).read(library.runs.steps(unpinned.run_id)[-1].memory_version, "note")
    assert [entry.pinned for entry in final] == [False]


@pytest.mark.parametrize("was_pinned", [True, False])
@pytest.mark.parametrize("kinds", [("edit",), ("edit", "pin"), ("pin", "edit"), ("edit", "unpin"), ("unpin", "edit")])
def test_an_edited_note_is_pinned_as_it_was_or_as_is_wished_in_any_order(room, was_pinned, kinds):
    entered = room("memory-agent")
    answer = entered.ask()
    library, step = entered.library, step_of(entered, answer, "read", 0)
    held = memory_at(library, answer.run_id, step)[0].record
    if was_pinned:
        pinned = entered.session.fork(answer.run_id, step, edits=[Edit("pin", held.id)])
        answer, step = pinned, step + 1
    elif "unpin" in kinds:
        return
    edits = [Edit(kind, held.id, "Nothing but fog." if kind == "edit" else None) for kind in kinds]
    forked = entered.session.fork(answer.run_id, step, edits=edits)
    [entry] = memory_at(library, forked.run_id, step + 1)
    wish = {"pin": True, "unpin": False}.get(next((kind for kind in kinds if kind != "edit"), ""), was_pinned)
    assert (entry.record.content, entry.pinned) == ("Nothing but fog.", wish)
    last = library.runs.memory_version(forked.run_id, 99)
    assert (entry in library.working_memory(forked.run_id).read(last)) == wish
    [edit_step] = [one for one in after(entered, forked, step) if one.node == "edit"]
    told = {one["kind"]: one for one in edit_step.detail["edits"]}
    changed = set() if wish == was_pinned else {"pin" if wish else "unpin"}
    assert set(told) == {"edit"} | changed
    if "pin" in told:
        assert told["pin"] == {"kind": "pin", "record": held.id, "made": entry.record.id}


def test_the_printed_memory_with_another_text_and_without_the_pin(room):
    entered = room("memory-agent")
    answer = entered.ask()
    library, step = entered.library, step_of(entered, answer, "read", 0)
    held = memory_at(library, answer.run_id, step)[0].record
    first = entered.session.fork(answer.run_id, step, edits=[Edit("pin", held.id)])
    memory = memory_at(library, first.run_id, step + 1)
    text = (
        memory_text(memory).replace("pin = true\n", "").replace(f'text = "{held.content}"', 'text = "Nothing but fog."')
    )
    forked = entered.session.fork(first.run_id, step + 1, edits=read_edits(text, memory))
    [entry] = memory_at(library, forked.run_id, step + 2)
    assert (entry.record.content, entry.pinned) == ("Nothing but fog.", False)


def pinned_of(library, answer, step):
    [entry] = [entry for entry in memory_at(library, answer.run_id, step) if entry.pinned]
    return entry.record.id


def test_parts_of_a_memory_take_turns_beside_a_pinned_one(room):
    entered = room("memory-agent", memories=2)
    answer = entered.ask()
    library = entered.library
    reads = [step.number for step in library.runs.steps(answer.run_id) if step.node == "read"]
    held = memory_at(library, answer.run_id, reads[1])[0].record
    forked = entered.session.fork(answer.run_id, reads[1], edits=[Edit("pin", held.id)])
    places = [step.detail["rewritten"] for step in library.runs.steps(forked.run_id) if step.node == "read"]
    assert places == [i % 2 for i in range(len(places))]
    assert held.id in {entry.record.id for entry in memory_at(library, forked.run_id, reads[-1] + 1)}


@pytest.mark.parametrize("graph", ["memory-agent", "compressed-memory"])
def test_another_question_is_asked_from_there_on(room, graph):
    entered = room(graph)
    answer = entered.ask()
    calls = len(entered.calls)
    step = step_of(entered, answer, "answer") - 1
    question = "Who painted the weathercock of Marrowby?"
    forked = entered.session.fork(answer.run_id, step, question=question)
    run = entered.library.runs.get(forked.run_id)
    assert forked.question == run.question == question
    assert len(entered.calls) == calls + 1
    assert question in str(entered.calls[-1].prompt)


def test_a_setting_decides_the_way_on_anew(room):
    entered = room("compressed-memory", waves=3)
    answer = entered.ask()
    step = step_of(entered, answer, "reason", 0)
    nodes = [one.node for one in after(entered, answer, step)]
    assert nodes[0] == "gate"
    forked = entered.session.fork(answer.run_id, step, settings={"waves": 1})
    assert [one.node for one in after(entered, forked, step)] == ["answer", "finish"]
    assert entered.library.runs.get(forked.run_id).settings["waves"] == 1
    ended = entered.session.fork(answer.run_id, 0, settings={"chunk_tokens": 128, "waves": "1"})
    assert entered.library.runs.steps(ended.run_id)[0].detail["cut"].startswith("chunk=128;")


def test_other_models_go_on(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    step = step_of(entered, answer, "reason")
    old = entered.session.models
    other = Models(
        reader=ScriptedModel(lambda prompt: "Another reader says 5265.", name="other"),
        gister=old.gister, scorer=old.scorer, embedder=old.embedder,
    )  # fmt: skip
    session = Session(entered.library, other, entered.session.counter)
    forked = session.fork(answer.run_id, step)
    assert forked.answer == "Another reader says 5265."
    assert forked.models["reader"] == "other" and answer.models["reader"] == "reader"


def test_a_larger_budget_goes_on_where_the_first_one_ended(room):
    entered = room("memory-agent")
    whole = entered.ask()
    short = entered.ask(budget=Budget(calls=2))
    assert short.status == "budget_spent"
    steps = entered.library.runs.steps(short.run_id)
    stopped = next(step.number for step in steps if "stopped" in step.detail or step.detail.get("ended"))
    calls = len(entered.calls)
    forked = entered.session.fork(short.run_id, stopped - 1, budget=Budget())
    assert (forked.answer, forked.status, len(entered.calls)) == (whole.answer, whole.status, calls)


def test_an_edit_that_changes_nothing_is_none(room):
    entered = room("memory-agent")
    answer = entered.ask()
    step = step_of(entered, answer, "read")
    held = memory_at(entered.library, answer.run_id, step)[0].record
    forked = entered.session.fork(answer.run_id, step, edits=[Edit("edit", held.id, held.content)])
    assert "edit" not in {one.node for one in entered.library.runs.steps(forked.run_id)}


def test_what_no_model_was_shown_is_said(room):
    entered = room("compressed-memory")
    answer = entered.ask()
    step = step_of(entered, answer, "reason")
    forked = entered.session.fork(answer.run_id, step, edits=[Edit("add", text="Notes are not read here.")])
    compared = compare_with_parent(entered.library, entered.library.runs.get(forked.run_id))
    assert len(compared.unseen) == 1 and compared.same
    with pytest.raises(InputError, match="no finished fork"):
        compare_with_parent(entered.library, entered.library.runs.get(answer.run_id))


def test_any_edits_of_any_step_keep_quotes_the_source_and_the_parent_as_it_was(room):
    entered = room("compressed-memory", waves=2)
    answer = entered.ask()
    before = rows_of(entered.library, answer.run_id)
    last = step_of(entered, answer, "answer") - 1

    @settings(max_examples=15, deadline=None)
    @given(data=st.data())
    def try_some(data):
        step = data.draw(st.integers(0, last))
        held = memory_at(entered.library, answer.run_id, step)
        edits = [
            Edit(data.draw(st.sampled_from(["drop", "pin"])), entry.record.id)
            for entry in held
            if data.draw(st.booleans())
        ]
        for start in data.draw(st.lists(st.integers(0, len(TEXT) - 60), max_size=3, unique=True)):
            edits.append(Edit("add", span=f"{start}-{start + 50}", pinned=data.draw(st.booleans())))
        added = [edit for edit in edits if edit.kind == "add"]
        slices = [TEXT[int(edit.span.split("-")[0]) :][:50].strip() for edit in added]
        if len(set(slices)) < len(slices):
            return  # two places that differ in white space are one
        forked = entered.session.fork(answer.run_id, step, edits=edits)
        quotes = {one.quote for one in forked.evidence}
        assert all(one.verified and TEXT[one.start : one.end] == one.quote for one in forked.evidence)
        assert set(slices) <= quotes
        dropped = {edit.record for edit in edits if edit.kind == "drop"}
        assert not dropped & {one.record for one in forked.evidence}
        assert rows_of(entered.library, answer.run_id) == before

    try_some()


def test_a_note_on_a_desk_becomes_a_variable_and_goes_with_it(tmp_path):
    runs = Runs(tmp_path)
    lines = [SEARCH, 'ask(found1, "which number?")', "info(note1)", "answer(note1)"]
    answer, reader, session = runs(lines)
    library = session.library
    step = [s.number for s in library.runs.steps(answer.run_id) if s.node == "act"][1]
    held = memory_at(library, answer.run_id, step)
    [note] = [entry.record for entry in held if entry.record.author == "subreader"]
    reader._reply = Script(["info(note1)", "answer(note1)"])
    forked = session.fork(answer.run_id, step, edits=[Edit("edit", note.id, "It opens with 7777.")])
    assert "7777" in forked.answer
    reader._reply = Script(["info(given1)", "answer(given1)"])
    forked = session.fork(answer.run_id, step, edits=[Edit("drop", note.id), Edit("add", text="It opens with 8888.")])
    assert "8888" in forked.answer
    shown = rooted(reader)[-1]
    assert "given1: note" in shown and "note1: note" not in shown
    edited = next(s for s in library.runs.steps(forked.run_id) if s.node == "edit")
    assert [one["kind"] for one in edited.detail["edits"]] == ["drop", "add", "drop"]
    for entry in held:
        kinds = {"variable": "edit", "planner": "drop", "actor": "drop"}
        kind = kinds.get(entry.record.author)
        if kind:
            with pytest.raises(InputError):
                session.fork(answer.run_id, step, edits=[Edit(kind, entry.record.id, "x")])
    runs.close()
