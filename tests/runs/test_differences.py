"""Two runs side by side: what was asked and how, what came of it, and the first step at which they part."""

from dataclasses import replace

import pytest

from rereader.memory.library import Library
from rereader.memory.runs import Call, Step
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.differences import parting, run_diff
from rereader.schema import Budget, Record, RecordKind, Usage
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant
from rereader.tools.word_diff import marked

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 90), [FACT])
SETTINGS = {"block_tokens": 200, "memory_tokens": 50, "decline_below": 0}


@pytest.fixture
def session(tmp_path):
    reader = ScriptedModel(lambda prompt: "It opens with 5265." if FACT in prompt else "Nothing yet.", name="reader")
    made = scripted_session(tmp_path / "ws", Models(reader=reader, embedder=HashingEmbedder()))
    yield made
    made.close()


@pytest.fixture
def ask(session):
    document = session.library.documents.add(TEXT, title="t", source="t", loader="text/1")

    def run(question=QUESTION, graph="memory-agent", settings=SETTINGS):
        answer = session.ask(question, [document.id], graph=graph, settings=settings)
        return session.library.runs.get(answer.run_id)

    return run


@pytest.mark.parametrize(
    ("graph", "settings"),
    [
        ("memory-agent", SETTINGS),
        ("retrieval", {}),
        ("compressed-memory", {"chunk_tokens": 60}),
        ("gist-lookup", {"min_words": 60, "max_words": 150, "rest_words": 80}),
        ("active-recap", {"every": 300, "recap_tokens": 60}),
        ("recursive", {}),
        ("ledger", {}),
    ],
)
def test_the_same_run_twice_parts_nowhere(session, ask, graph, settings):
    one, other = ask(graph=graph, settings=settings), ask(graph=graph, settings=settings)
    found = run_diff(session.library, one, other)
    assert found.parting is None
    assert found.settings == found.models == found.only_one == found.only_other == ()
    assert len(found.both) == len(one.answer.evidence)
    assert all(stretch.kind == "kept" for stretch in (*found.answer, *found.question))


def test_another_question_parts_at_the_first_prompt_that_holds_it(session, ask):
    one, other = ask(), ask("With which number does the strongbox close?")
    found = run_diff(session.library, one, other)
    assert marked(found.question).endswith("the strongbox [-of the Ulpelhala office open-]{+close+}?")
    first = next(step for step in session.library.runs.steps(one.id) if step.calls)
    assert (found.parting.number, found.parting.what, found.parting.named) == (first.number, "prompt", ("1",))


def test_settings_that_differ_are_named_with_both_values(session, ask):
    found = run_diff(session.library, ask(), ask(settings={**SETTINGS, "memory_tokens": 60}))
    assert [(row.name, row.one, row.other) for row in found.settings] == [("memory_tokens", 50, 60)]


def test_another_graph_parts_at_a_node_and_has_its_own_settings(session, ask):
    found = run_diff(session.library, ask(), ask(graph="retrieval", settings={}))
    assert found.parting.what in ("node", "detail") and found.parting.nodes[1] is not None
    assert ("block_tokens", 200, None) in [(row.name, row.one, row.other) for row in found.settings]


def test_quotes_are_told_apart_by_their_characters(session, ask):
    one = ask()
    one = replace(one, answer=one.answer.model_copy(update={"answer": "It opens with 5265."}))
    [quote, *_] = one.answer.evidence
    moved = quote.model_copy(update={"start": quote.start + 4, "end": quote.end + 4})
    answer = one.answer.model_copy(update={"answer": "It opens with 5266.", "evidence": [moved]})
    other = replace(one, answer=answer, models={**one.models, "reader": "another"})
    found = run_diff(session.library, one, other)
    assert quote in found.only_one and found.only_other == (moved,) and found.both == ()
    assert marked(found.answer) == "It opens with [-5265-]{+5266+}."
    assert [(row.name, row.other) for row in found.models] == [("reader", "another")]


def test_a_run_without_an_answer_is_compared_too(session, ask):
    one = ask()
    found = run_diff(session.library, one, replace(one, answer=None, status="failed"))
    assert marked(found.answer) == f"[-{one.answer.answer}-]" and found.both == ()


# The first step at which runs part, on runs that were written by hand


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "ws") as opened:
        yield opened


def record(run_id, content):
    return Record.create(run_id=run_id, kind=RecordKind.NOTE, content=content, agent="a", step=1)


def written(library, run_id, *, node="read", content="known", reply="yes", prompt="p", detail=None, steps=2):
    """A run of some steps, the last of which is as asked for and writes a note that its detail names."""
    run = library.runs.create(run_id, question="q", graph="g", settings={}, models={}, budget=Budget(), document_ids=[])
    note = record(run_id, content)
    for number in range(1, steps):
        library.runs.add_step(run_id, Step(number, "chunk", 0.0, number, 0, {"work": [number]}, Usage()), Usage())
    version = library.working_memory(run_id).write(0, [("note", note)])
    call = Call("reader", "generate", "t@1", {}, prompt, reply, 3, 2, cached=False)
    told = {"wrote": note.id, "scores": {note.id: 1.0}, "rows": [[note.id, 2]], "work": [run_id], **(detail or {})}
    library.runs.add_step(run_id, Step(steps, node, 0.0, 1.0, version, told, Usage(), (call,)), Usage())
    return run


@pytest.mark.parametrize(
    ("changed", "what", "named"),
    [
        ({"node": "gate"}, "node", ()),
        ({"prompt": "other"}, "prompt", ("1",)),
        ({"reply": "no"}, "reply", ("1",)),
        ({"detail": {"threshold": 0.5}}, "detail", ("threshold",)),
        ({"content": "other"}, "detail", ("wrote", "scores", "rows")),
        ({"content": "other", "detail": {"wrote": "", "scores": {}, "rows": []}}, "memory", ("note",)),
    ],
)
def test_what_differs_first_is_named(library, changed, what, named):
    same = {"detail": changed["detail"]} if what == "memory" else {}
    one, other = written(library, "aaaa", **same), written(library, "bbbb", **changed)
    found = parting(library, one, other)
    assert (found.number, found.what, found.named) == (2, what, named)
    assert found.nodes == ("read", changed.get("node", "read"))


def test_records_that_say_the_same_are_the_same_in_two_runs(library):
    assert parting(library, written(library, "aaaa"), written(library, "bbbb")) is None


def test_a_step_that_found_its_work_done_is_the_same(library):
    one, other = written(library, "aaaa"), written(library, "bbbb")
    library.database.execute("DELETE FROM step_calls WHERE run_id = 'bbbb'")
    assert parting(library, one, other) is None


def test_a_run_that_ended_before_the_other_is_told(library):
    one = written(library, "aaaa")
    other = written(library, "bbbb")
    library.runs.add_step("bbbb", Step(3, "answer", 0.0, 1.0, 1, {}, Usage()), Usage())
    found = parting(library, one, other)
    assert (found.number, found.what, found.nodes) == (3, "end", (None, "answer"))
    assert parting(library, other, one).nodes == ("answer", None)
