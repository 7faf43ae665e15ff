"""The tree of recaps: shape, stored once, gone on with after a kill, and an answer from its top."""

import math
import threading
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.context import RunContext
from rereader.agents.recap_tree import ensure_tree, merges, summarise, top_recaps
from rereader.agents.settings import RecapSettings
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import Budget, BudgetSpent, InputError
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay

PART = 40


def told(prompt):
    return f"Recap of {zlib.crc32(prompt.encode())}."


@pytest.fixture
def reader():
    return ScriptedModel(told, name="reader", context_window=3000)


@pytest.fixture
def session(tmp_path, reader):
    made = scripted_session(tmp_path / "ws", Models(reader=reader, embedder=HashingEmbedder()))
    yield made
    made.library.close()


def words(count, name="w"):
    return " ".join(f"{name}{i}" for i in range(count))


def context_of(session, documents, budget=None, **settings):
    values = RecapSettings(**{"every": PART, "recap_tokens": 30, "summary_tokens": 60, **settings})
    session.library.runs.create(
        "run", question="q", graph="retrieval", settings={}, models={}, budget=Budget(), document_ids=[documents[0].id]
    )
    return RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=values,
        run_id="run",
        documents=tuple(documents),
        budget=budget or Budget(),
        cancel=threading.Event(),
    )


def add(session, text, title="t"):
    return session.add_text(text, title=title, source=title, graph="full-context")


@pytest.mark.parametrize("leaves", [1, 2, 3, 5, 8, 17])
def test_the_tree_is_as_deep_as_the_logarithm_of_its_leaves(session, reader, leaves):
    document = add(session, words(leaves * PART - 3))
    context = context_of(session, [document])
    tree = ensure_tree(context, document)
    assert len(tree.levels[0]) == leaves
    assert tree.depth == math.ceil(math.log2(leaves))
    assert len(reader.calls) == context.usage.calls == leaves + merges(leaves, 2) == 2 * leaves - 1
    assert context.usage.serial_depth == math.ceil(leaves / 16) + tree.depth
    records = session.library.records.get(tree.levels[0])
    text = session.library.documents.text(document.id)
    assert "".join(text[r.spans[0].start : r.spans[0].end] for r in records) == text
    [root] = session.library.records.get([tree.root])
    assert (root.spans[0].start, root.spans[0].end) == (0, len(text))


def test_every_recap_is_made_of_its_neighbours_in_order(session, reader):
    document = add(session, words(5 * PART))
    tree = ensure_tree(context_of(session, [document]), document)
    prompts = {call.prompt for call in reader.calls}
    for below, above in zip(tree.levels, tree.levels[1:], strict=False):
        for place, identity in enumerate(above):
            group = below[2 * place : 2 * place + 2]
            if len(group) == 1:
                assert identity == group[0]
                continue
            [record] = session.library.records.get([identity])
            assert record.parents == tuple(group)
            first, second = (child.content for child in session.library.records.get(group))
            assert any(
                f"\n{first}\n" in p and f"\n{second}\n" in p[p.index(first) :] and p.count("<recap>") == 2
                for p in prompts
            )


def test_the_tree_is_grown_once_and_holds_no_question(session, reader):
    document = add(session, words(6 * PART))
    context = context_of(session, [document])
    tree = ensure_tree(context, document)
    made = len(reader.calls)
    session.library.database.execute("DELETE FROM calls")
    assert ensure_tree(context, document) == tree
    assert len(reader.calls) == made
    assert {record.run_id for record in session.library.records.get(tree.levels[0])} == {document.id}


def test_another_fan_shares_the_leaves(session, reader):
    document = add(session, words(9 * PART))
    context = context_of(session, [document])
    two = ensure_tree(context, document)
    made = len(reader.calls)
    other = replace(context, settings=RecapSettings(every=PART, recap_tokens=30, fan=3), trees={})
    three = ensure_tree(other, document)
    assert three.levels[0] == two.levels[0]
    assert (three.depth, [len(level) for level in three.levels]) == (2, [9, 3, 1])
    assert len(reader.calls) == made + merges(9, 3) == made + 4


def test_a_tree_that_was_stopped_goes_on_with_the_next_batch(session, reader):
    document = add(session, words(40 * PART))
    context = context_of(session, [document])
    generate = reader.generate
    for batches in (1, 2, 4):
        session.library.database.execute("DELETE FROM calls")
        left = [batches]

        def stop(*arguments, left=left):
            if not left[0]:
                raise RuntimeError("killed")
            left[0] -= 1
            return generate(*arguments)

        reader.generate = stop
        with pytest.raises(RuntimeError, match="killed"):
            ensure_tree(context, document)
    reader.generate = generate
    session.library.database.execute("DELETE FROM calls")
    tree = ensure_tree(context, document)
    assert tree.depth == 6
    assert len(reader.calls) == len({call.prompt for call in reader.calls}) == 79


def test_a_budget_for_one_batch_keeps_that_batch(session, reader):
    document = add(session, words(20 * PART))
    context = context_of(session, [document], Budget(calls=16))
    with pytest.raises(BudgetSpent):
        ensure_tree(context, document)
    assert len(reader.calls) == context.usage.calls == 16
    reader.calls.clear()
    free = ensure_tree(RunContext(**{**vars_of(context), "budget": Budget()}), document)
    assert len(free.levels[0]) == 20 and len(reader.calls) == 4 + merges(20, 2)


def vars_of(context):
    names = ("library", "models", "counter", "settings", "run_id", "documents")
    return {name: getattr(context, name) for name in names}


@given(leaves=st.integers(1, 300), fan=st.integers(2, 9))
def test_merges_are_counted_as_they_are_made(leaves, fan):
    made, level = 0, leaves
    while level > 1:
        groups = [min(fan, level - at) for at in range(0, level, fan)]
        made += sum(group > 1 for group in groups)
        level = len(groups)
    assert merges(leaves, fan) == made


def test_what_does_not_fit_the_window_is_refused(session, reader):
    document = add(session, words(100))
    with pytest.raises(InputError, match="do not fit"):
        ensure_tree(context_of(session, [document], fan=90), document)


def test_the_lowest_level_that_fits_is_shown(session):
    document = add(session, words(8 * PART))
    context = context_of(session, [document])
    tree = ensure_tree(context, document)
    sizes = [
        sum(session.models.reader.count_tokens([r.content for r in session.library.records.get(level)]))
        for level in tree.levels
    ]
    for level, size in zip(tree.levels, sizes, strict=True):
        assert [r.id for r in top_recaps(context, tree, size)] == list(level)
    assert [r.id for r in top_recaps(context, tree, 0)] == [tree.root]


def test_a_summary_of_two_documents_is_written_from_both_trees(session, reader):
    one, two = add(session, words(3 * PART, "one"), "one"), add(session, "".join(essay(1, 20)), "two")
    context = context_of(session, [one, two])
    outcome = summarise({"question": "Summarise both."}, context)
    shown = [r.content for d in (one, two) for r in session.library.records.get(ensure_tree(context, d).levels[0])]
    prompt = reader.calls[-1].prompt
    assert all(content in prompt for content in shown)
    assert [prompt.index(content) for content in shown] == sorted(prompt.index(content) for content in shown)
    assert "Request: " in prompt and "Summarise both." in prompt
    assert outcome.update["status"] == "answered"
    assert reader.calls[-1].sampling.max_new_tokens == 60


def test_a_summary_under_a_spent_budget_is_what_there_is(session, reader):
    document = add(session, words(4 * PART))
    context = context_of(session, [document], Budget(calls=4))
    outcome = summarise({"question": "Summarise."}, context)
    assert outcome.update["status"] == "budget_spent"
    leaves = [told(call.prompt) for call in reader.calls]
    assert outcome.detail["draft"].splitlines() == leaves


def test_recaps_of_one_wording_by_other_means_are_kept_apart(session, reader):
    reader._reply = lambda prompt: "The same."
    document = session.add_text(words(200), title="t", source="t")
    context = context_of(session, [document])
    for tokens in (30, 40):
        context.settings = replace(context.settings, recap_tokens=tokens)
        ensure_tree(context, document)
        before = len(reader.calls)
        session.library.database.execute("DELETE FROM calls")
        ensure_tree(context, document)
        assert len(reader.calls) == before


def test_roots_that_do_not_fit_the_window_are_left_out_and_that_is_said(session, reader):
    reader.context_window = 500
    reader._reply = lambda prompt: words(28, "r")
    documents = [session.add_text(words(30, f"d{i}"), title=f"t{i}", source=f"t{i}") for i in range(12)]
    context = context_of(session, documents)
    context.step = 1
    summarise({"question": "What is it about?"}, context)
    assert any("left out" in warning for warning in context.warnings)
