"""What became of a passage: who was shown it, what was made of it, where it lives or which step lost it."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.runs.blame import course
from rereader.runs.passages import Passage, passage
from rereader.schema import InputError, Span
from rereader.testing.conformance_room import SETTINGS, TEXT, Trial
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
AT = TEXT.index(FACT)
END = AT + len(FACT)
LOST = "The strongbox of Ulpelhala opens with 4711 and with 815."
BOOK = plant(essay(1, 90), [LOST])


@pytest.fixture
def traced(tmp_path):
    """A function that asks a graph and says what became of a place."""
    rooms = []

    def trace(graph, start=AT, end=END, **values):
        trial = Trial(graph, tmp_path / f"{len(rooms)}", {**SETTINGS, "decline_below": 0, **values})
        rooms.append(trial.room("room"))
        room = rooms[-1].__enter__()
        run = room.library.runs.get(room.ask().run_id)
        return passage(room.library, run, Span(document_id=room.documents[0].id, start=start, end=end)), run, room

    yield trace
    for room in rooms:
        room.__exit__(None, None, None)


def words(found):
    return {one.word: (one.first, one.lost) for one in found.kept}


def test_a_quoted_passage_is_followed_from_the_gate_to_the_claim(traced):
    found, run, room = traced("compressed-memory")
    nodes = {step.number: step.node for step in room.library.runs.steps(run.id)}
    assert found.text == FACT
    assert {(one.node, one.role, one.form) for one in found.shown} == {
        ("gist", "gister", "text"),
        ("answer", "reader", "text"),
    }
    assert {one.characters for one in found.shown} == {len(FACT)}
    gates = [number for number, node in nodes.items() if node == "gate"]
    assert [one.step for one in found.judged] == gates and all(one.accepted for one in found.judged)
    assert {room.library.chunks.range(chunking(room))[one.chunk].span.start <= AT for one in found.judged} == {True}
    kinds = [(one.record.kind.value, nodes.get(one.step)) for one in found.made]
    assert kinds == [("gist", None), ("quote", "reason"), ("note", "answer")]
    (quote,) = found.lives_in
    assert quote.record.content in FACT and quote.lost is None and quote.how == "span"
    assert found.lost is None
    assert {word: fate for word, fate in words(found).items() if fate != (quote.step, None)} == {}
    (claim,) = found.claims
    assert claim.exact and claim.quotes and not claim.words and "5265" in claim.text
    assert nodes[found.drafted] == "answer"


def chunking(room):
    library = room.library
    return library.chunks.chunking(room.documents[0].id, library.runs.cut(library.runs.all()[0].id))


def test_a_passage_that_was_gated_out_is_told_so(traced):
    start = TEXT.index("Ferrowick")
    found, _, _ = traced("compressed-memory", start, start + 9, accept=1, waves=1)
    assert [one.accepted for one in found.judged] == [False]
    assert [one.node for one in found.shown] == ["gist"]
    assert [one.record.kind.value for one in found.made] == ["gist"]
    assert words(found) == {"ferrowick": (None, None)} and found.lost is None
    assert found.lives_in == () and found.claims == ()


def test_prose_carries_a_passage_through_those_that_were_made_of_it(traced):
    found, run, room = traced("memory-agent", block_tokens=300, memory_tokens=60)
    steps = [step for step in room.library.runs.steps(run.id) if step.node == "read"]
    reading = next(step for step in steps if step.detail["span"][1] <= AT < step.detail["span"][2])
    assert [one.step for one in found.shown] == [reading.number]
    notes = [one for one in found.made if one.record.agent == "rememberer"]
    assert [one.step for one in notes] == [step.number for step in steps if step.number >= reading.number]
    assert [one.how for one in notes] == ["span"] + ["parents"] * (len(notes) - 1)
    assert [one.lost for one in notes] == [one.step for one in notes[1:]] + [None]
    assert all(one.shown == (one.step + 1,) for one in notes), "each memory is shown in the step after its own"
    assert [one.record.id for one in found.lives_in] == [notes[-1].record.id]
    assert words(found)["5265"] == (reading.number, None)
    (claim,) = found.claims
    assert "5265" in claim.words and not claim.exact
    assert found.made[-1].step == found.drafted or found.made[-1].record.agent == "answerer"


def test_a_passage_is_read_as_keys_and_values(traced):
    found, _, room = traced("compressed-memory", reads="kv")
    forms = {(one.node, one.form) for one in found.shown}
    assert {("compress", "text"), ("read", "kv"), ("answer", "kv")} <= forms
    (block,) = [one for one in found.made if one.record.kind.value == "kv"]
    assert block.step is None and block.shown
    span = block.record.spans[0]
    assert span.start <= AT and AT + len(FACT) <= span.end
    assert any(one.how == "parents" or one.record.kind.value == "note" for one in found.made)
    assert room.library.runs.get(room.library.runs.all()[0].id)


def test_of_a_passage_that_a_prompt_shows_in_part_the_characters_are_counted(traced):
    found, run, _ = traced("memory-agent", 0, len(TEXT), block_tokens=300, memory_tokens=60)
    assert sum(one.characters for one in found.shown if one.node == "read") == len(TEXT)
    replayed, _, _ = traced("evidence-replay", 0, len(TEXT))
    assert max(one.characters for one in replayed.shown) <= len(TEXT), "what stands twice in a prompt counts once"
    assert run.answer is not None


def test_gists_of_other_ways_than_the_runs_own_are_left_out(traced):
    found, run, room = traced("compressed-memory")
    room.session.ask(
        "Who?", [room.documents[0].id], graph="compressed-memory", settings={**SETTINGS, "gist": "extract"}
    )
    again = passage(room.library, run, found.span)
    assert again == found
    assert len(room.library.records.touching(found.span)) > len(found.made) - 1


def test_what_other_runs_made_is_left_out_and_what_a_fork_took_over_is_not(traced):
    found, run, room = traced("memory-agent", block_tokens=300, memory_tokens=60)
    forked = room.session.fork(run.id, 3)
    again = passage(room.library, room.library.runs.get(forked.run_id), found.span)
    assert words(again) == words(found) and len(again.made) == len(found.made)


def test_a_run_that_was_stopped_is_followed_as_far_as_it_came(traced):
    found, run, room = traced("memory-agent", block_tokens=300, memory_tokens=60)
    room.library.database.execute("DELETE FROM steps WHERE run_id = ? AND step > 4", (run.id,))
    room.library.database.execute("UPDATE runs SET answer = NULL WHERE id = ?", (run.id,))
    stopped = passage(room.library, room.library.runs.get(run.id), found.span)
    assert stopped.drafted is None and stopped.claims == ()
    assert stopped.lives_in and words(stopped)["5265"] == words(found)["5265"]


def remembering(memories):
    """A reader whose memory after each block is what ``memories`` says."""
    blocks = iter(memories)

    def reply(prompt):
        return next(blocks, "Nothing.") if "<section>" in prompt else "It opens with 4711."

    return ScriptedModel(reply, name="reader", context_window=32768)


def remembered(folder, memories):
    reader = remembering(memories)
    session = scripted_session(folder, Models(reader=reader))
    session.counter = TokenCounter("words", exact=True, count=reader.count_tokens)
    document = session.library.documents.add(BOOK, title="book", source="book.txt", loader="text/1")
    values = {"decline_below": 0, "block_tokens": 200, "memory_tokens": 60}
    answer = session.ask("How does it open?", [document.id], graph="memory-agent", settings=values)
    start = BOOK.index(LOST)
    return (
        session,
        session.library.runs.get(answer.run_id),
        Span(document_id=document.id, start=start, end=start + len(LOST)),
    )


@pytest.fixture(scope="module")
def reads(tmp_path_factory):
    """Spans of the blocks that the book is read in."""
    session, run, _ = remembered(tmp_path_factory.mktemp("count"), [])
    spans = [step.detail["span"][1:] for step in session.library.runs.steps(run.id) if step.node == "read"]
    session.close()
    return spans


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_step_that_lost_each_word_is_the_step_that_is_told(tmp_path_factory, reads, data):
    held = data.draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=len(reads), max_size=len(reads)))
    memories = [f"Known: {'4711' * one} {'815' * other}." for one, other in held]
    session, run, span = remembered(tmp_path_factory.mktemp("lost"), memories)
    steps = [step.number for step in session.library.runs.steps(run.id) if step.node == "read"]
    since = next(place for place, (_, end) in enumerate(reads) if span.start < end)
    found = passage(session.library, run, span)
    for place, word in enumerate(("4711", "815")):
        row = [(step, known[place]) for step, known in zip(steps, held, strict=True)][since:]
        first = next((step for step, known in row if known), None)
        losses = [step for (_, before), (step, after) in pairwise(row) if before and not after]
        expected = (first, losses[-1] if losses and not row[-1][1] else None)
        assert words(found)[word] == expected
    kept = [one for one in found.kept if one.first is not None]
    if any(one.lost is None for one in kept):
        assert found.lost is None
    else:
        assert found.lost == max((one.lost for one in kept), default=None)
    assert [one.step for one in found.lives_in] == ([steps[-1]] if any(held[-1]) else [])
    numbers = course(session.library, run, "4711")
    if not any(known for known, _ in held[:since]):
        assert numbers.first == words(found)["4711"][0]
    assert json.loads(json.dumps(found.as_json()))["lost"] == found.lost
    session.close()


@pytest.mark.parametrize(
    ("document", "start", "end", "message"),
    [("f" * 64, 0, 5, "was not asked about"), (None, 5, 5, "no passage 5-5"), (None, 0, 10**9, "no passage 0-")],
)
def test_what_is_no_passage_of_the_run_is_refused(traced, document, start, end, message):
    _, run, room = traced("retrieval")
    span = Span(document_id=document or room.documents[0].id, start=start, end=end)
    with pytest.raises(InputError, match=message):
        passage(room.library, run, span)


def test_as_json_says_where_it_lives(traced):
    found, _, _ = traced("retrieval")
    told = json.loads(json.dumps(found.as_json()))
    assert isinstance(found, Passage)
    assert told["lives_in"] == [one.record.id for one in found.lives_in] != []
    assert told["span"]["start"] == AT and told["made"][0]["record"]["content"] in FACT
    assert told["claims"][0]["exact"] is True
