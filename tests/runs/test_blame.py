"""Blame finds the planted characters, and the step that lost a fact is the step that is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recursive_runs import SEARCH, Runs

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.runs import blame as blame_module
from rereader.runs.blame import Course, Known, blame, course, survival
from rereader.runs.edits import Edit
from rereader.runs.forking import memory_at
from rereader.schema import InputError, Span
from rereader.testing.conformance_room import SETTINGS, Trial
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 90), [FACT])


def asked(folder, graph, reader, **values):
    session = scripted_session(folder, Models(reader=reader) if graph == "memory-agent" else None)
    session.counter = TokenCounter("words", exact=True, count=reader.count_tokens)
    document = session.library.documents.add(TEXT, title="book", source="book.txt", loader="text/1")
    answer = session.ask(QUESTION, [document.id], graph=graph, settings={"decline_below": 0, **values})
    return session, session.library.runs.get(answer.run_id), document


def remembering(known):
    """A reader whose memory holds the number after those blocks that ``known`` says."""
    blocks = iter(known)

    def reply(prompt):
        if "<section>" not in prompt:
            return "It opens with 5265."
        return "The box opens with 5265." if next(blocks) else "Nothing of use so far."

    return ScriptedModel(reply, name="reader", context_window=32768)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """How many blocks the text has."""
    reader = remembering([True] * 99)
    session, run, _ = asked(tmp_path_factory.mktemp("count"), "memory-agent", reader, block_tokens=200)
    count = sum(step.node == "read" for step in session.library.runs.steps(run.id))
    session.close()
    assert count > 3
    return count


@pytest.mark.parametrize("graph", ["compressed-memory", "ledger", "retrieval"])
def test_every_claim_leads_to_the_planted_characters(tmp_path, graph):
    reader = ScriptedModel(quoting_reply, name="reader", context_window=10**6)
    session, run, document = asked(tmp_path, graph, reader)
    (found,) = blame(session.library, run)
    at = TEXT.index(FACT)
    assert found.exact and found.quotes and not found.carried
    steps = {step.number: step for step in session.library.runs.steps(run.id)}
    held = [(one.evidence.start, one.evidence.end) for one in found.quotes]
    held = [place for place in held if place[0] <= at and at + len(FACT) <= place[1]]
    assert held, "one of its quotes holds the fact, to the character"
    for evidence, origin, _ in found.quotes:
        assert origin.record.spans == (Span(document_id=document.id, start=evidence.start, end=evidence.end),)
        assert origin.lost is None and steps[origin.step].node == origin.node
        before = [
            entry.record.id
            for entry in session.library.working_memory(run.id).read(
                steps[origin.step - 1].memory_version if origin.step > 1 else 0
            )
        ]
        assert evidence.record not in before
    session.close()


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_step_that_lost_a_fact_is_the_step_that_is_told(tmp_path_factory, blocks, data):
    known = data.draw(st.lists(st.booleans(), min_size=blocks, max_size=blocks))
    folder = tmp_path_factory.mktemp("lost")
    session, run, _ = asked(folder, "memory-agent", remembering(known), block_tokens=200)
    steps = [step for step in session.library.runs.steps(run.id) if step.node == "read"]
    found = course(session.library, run, "5265")
    told = {one.step: bool(one.held_by) for one in found.steps}
    assert [told[step.number] for step in steps] == known
    pairs = zip(known, known[1:], steps[1:], strict=False)
    lost = [step.number for before, after, step in pairs if before and not after]
    assert list(found.losses) == lost and found.known_at_end == known[-1]
    assert found.first == (steps[known.index(True)].number if True in known else None)
    (claim,) = blame(session.library, run)
    assert not claim.exact
    if known[-1]:
        since = len(known) - (known[::-1].index(False) if False in known else len(known))
        carried = {word: one.origin.step for one in claim.carried for word in one.words}
        assert carried["5265"] == steps[since].number
        [record] = [one.origin.record for one in claim.carried if "5265" in one.words]
        assert record.spans[0].start == steps[since].detail["span"][1]
    else:
        assert "5265" not in {word for one in claim.carried for word in one.words}
    session.close()


@pytest.mark.parametrize(
    ("graph", "values", "exact"),
    [
        ("compressed-memory", {}, True),
        ("retrieval", {}, True),
        ("ledger", {}, True),
        ("evidence-replay", {}, True),
        ("active-recap", {"variant": "tree"}, True),
        ("active-recap", {}, False),
        ("compressed-memory", {"reads": "kv"}, False),
        ("full-context", {}, False),
        ("memory-agent", {"block_tokens": 300, "memory_tokens": 60}, False),
        ("recursive", {}, False),
    ],
)
def test_exact_are_quotes_that_the_answer_was_written_from(tmp_path, graph, values, exact):
    with Trial(graph, tmp_path, {**SETTINGS, "decline_below": 0, **values}).room("room") as room:
        answer = room.ask()
        (found,) = blame(room.library, room.library.runs.get(answer.run_id))
    assert found.quotes and {one.exact for one in found.quotes} == {exact}
    assert found.exact is exact


def test_without_a_model_the_quotes_that_were_held_are_those_that_it_was_written_from(tmp_path):
    session = scripted_session(tmp_path, Models())
    document = session.library.documents.add(TEXT, title="book", source="book.txt", loader="text/1")
    answer = session.ask(QUESTION, [document.id], graph="retrieval", settings={"decline_below": 0})
    (found,) = blame(session.library, session.library.runs.get(answer.run_id))
    assert found.exact and [one.exact for one in found.quotes] == [True]
    session.close()


def test_a_text_of_one_sentence_is_not_taken_for_a_quote_of_it(tmp_path):
    with Trial("full-context", tmp_path, {**SETTINGS, "decline_below": 0}).room("room", [FACT]) as room:
        answer = room.ask()
        (found,) = blame(room.library, room.library.runs.get(answer.run_id))
    (one,) = found.quotes
    assert (one.evidence.start, one.evidence.end) == (0, len(FACT)) and not one.exact


def test_a_note_that_nobody_reads_takes_nothing_from_exactness_and_carries_nothing(tmp_path):
    with Trial("compressed-memory", tmp_path, {**SETTINGS, "decline_below": 0}).room("room") as room:
        first = room.ask()
        before = len(room.library.runs.steps(first.run_id)) - 2
        forked = room.session.fork(first.run_id, before, edits=[Edit("add", text="The strongbox opens with 5265.")])
        (found,) = blame(room.library, room.library.runs.get(forked.run_id))
    assert found.exact and not found.carried


def test_a_note_that_the_answer_was_written_from_carries_its_words(tmp_path):
    settings = {**SETTINGS, "decline_below": 0, "block_tokens": 300, "memory_tokens": 60}
    with Trial("memory-agent", tmp_path, settings).room("room") as room:
        first = room.ask()
        before = len(room.library.runs.steps(first.run_id)) - 2
        (held,) = memory_at(room.library, first.run_id, before)
        edits = [Edit("drop", held.record.id), Edit("add", text="The strongbox of Ulpelhala opens with 777.")]
        forked = room.session.fork(first.run_id, before, edits=edits)
        run = room.library.runs.get(forked.run_id)
        (found,) = blame(room.library, run)
        assert "777" in run.answer.answer
        [carried] = [one for one in found.carried if "777" in one.words]
    assert carried.origin.node == "edit" and carried.origin.record.agent == "user" and not found.exact


@pytest.fixture
def desk(tmp_path):
    """Recursive runs on lines of a root model."""
    runs = Runs(tmp_path)
    yield runs
    runs.close()


def test_words_of_notes_on_a_desk_are_traced_to_the_step_that_noted_them(desk):
    answer, _, session = desk([SEARCH, 'ask(found1, "Which number?")', 'answer("It opens with 5265.")'])
    run = session.library.runs.get(answer.run_id)
    steps = {step.number: step for step in session.library.runs.steps(run.id)}
    (found,) = blame(session.library, run)
    [carried] = [one for one in found.carried if "5265" in one.words]
    assert carried.origin.record.agent in ("subreader", "actor")
    assert steps[carried.origin.step].detail["action"] in ("search", "ask")
    known = course(session.library, run, "5265")
    assert known.first == carried.origin.step and known.known_at_end
    assert {one.exact for one in found.quotes} == {False} and not found.exact


def test_what_the_root_model_answers_by_itself_is_no_knowledge(desk):
    answer, _, session = desk([SEARCH, 'answer("It is 4711, says Quiddle.")'])
    run = session.library.runs.get(answer.run_id)
    assert "4711" in run.answer.answer
    assert course(session.library, run, "4711").first is None
    (found,) = blame(session.library, run)
    assert {"4711", "quiddle"} <= set(found.loose)


def test_each_memory_is_cut_into_words_once(tmp_path, blocks, monkeypatch):
    session, run, _ = asked(tmp_path, "memory-agent", remembering([True] * 99), block_tokens=200)
    counted = []
    original = blame_module.content_words
    monkeypatch.setattr(blame_module, "content_words", lambda text: counted.append(text) or original(text))
    (found,) = blame(session.library, run)
    assert len(counted) <= blocks + len(run.answer.evidence) + len(run.answer.claims)
    assert any("5265" in one.words for one in found.carried)
    session.close()


def test_a_quote_that_covers_the_place_of_a_fact_knows_it(tmp_path):
    reader = ScriptedModel(quoting_reply, name="reader", context_window=10**6)
    session, run, document = asked(tmp_path, "compressed-memory", reader)
    at = TEXT.index("5265")
    place = Span(document_id=document.id, start=at, end=at + 4)
    reworded = course(session.library, run, "the secret number", [place])
    assert reworded.known_at_end and reworded.first and not reworded.losses
    elsewhere = Span(document_id=document.id, start=0, end=4)
    assert course(session.library, run, "the secret number", [elsewhere]).first is None
    session.close()


def test_what_cannot_be_traced_is_said(tmp_path):
    session, run, _ = asked(tmp_path, "memory-agent", remembering([True] * 99), block_tokens=200)
    with pytest.raises(InputError, match="no words"):
        course(session.library, run, "...")
    bare = session.library.runs.create(
        "bare", question="?", graph="retrieval", settings={}, models={}, budget=run.budget, document_ids=[]
    )
    with pytest.raises(InputError, match="no answer to trace"):
        blame(session.library, bare)
    session.close()


def course_of(text):
    """A course from a line such as ``.++-``: known or not, step by step."""
    return Course("f", tuple(Known(place, "n", ("r",) if mark == "+" else ()) for place, mark in enumerate(text)))


def test_survival_is_over_those_who_went_on_so_long():
    assert survival([course_of(".++."), course_of("+++"), course_of("....")]) == (1.0, 1.0, 0.5)
    assert survival([course_of("+.+")]) == (1.0, 0.0, 0.0), "what comes back was lost all the same"
    assert survival([]) == ()
