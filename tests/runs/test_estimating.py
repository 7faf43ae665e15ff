"""Estimates: what a run will cost, what is stored costs nothing, and what runs took mends the guesses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.costs import DocumentFacts, Facts, StageCost, Work
from rereader.graphs.registry import ReadingGraph, all_graphs, get_graph
from rereader.models.roles import Models
from rereader.models.speed import Speed
from rereader.runs.estimated import compare
from rereader.runs.speeds import Past, Speeds, pasts
from rereader.testing.sessions import scripted_models, scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
NAMES = [graph.name for graph in all_graphs()]
EXTRACT = {"gist": "extract"}
MADE_FOR = ("chunk", "gist", "index")
BOUNDED = {"recursive"}
"""Graphs whose model decides how many calls there are; most there can be are foretold."""


@pytest.fixture
def session(tmp_path):
    made = scripted_session(tmp_path / "ws", scripted_models())
    yield made
    made.close()


@pytest.fixture
def document(session):
    return session.library.documents.add(plant(essay(3, 500), [FACT]), title="e", source="e", loader="text/1")


def of(session, document, graph, question=QUESTION, settings=None):
    return session.estimate(question, [(document.id, document.length)], graph=graph, settings=settings)


@pytest.mark.parametrize("name", NAMES)
def test_every_graph_is_foretold_stage_by_stage(session, document, name):
    found = of(session, document, name)
    graph = get_graph(name)
    assert [stage.stage for stage in found.stages] == list(graph.build(graph.settings({})).nodes)
    assert found.seconds > 0
    assert found.total("calls") >= 1
    assert found.as_json()["seconds"] == pytest.approx(found.seconds, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_calls_and_tokens_are_near_those_of_the_run(session, document, name):
    settings = {} if name == "compressed-memory" else None
    found = of(session, document, name, settings=settings)
    answer = session.ask(QUESTION, [document.id], graph=name, settings=settings)
    if name in BOUNDED:
        assert found.total("calls") >= answer.usage.calls
        return
    assert found.total("calls") == pytest.approx(answer.usage.calls, rel=0.3, abs=1)
    assert found.total("tokens_in") == pytest.approx(answer.usage.prompt_tokens, rel=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_costs_nothing(session, document, name):
    first = {stage.stage: stage for stage in of(session, document, name, settings={}).stages}
    made = {stage for stage in MADE_FOR if stage in first} - ({"gist"} if name == "ledger" else set())
    session.ask(QUESTION, [document.id], graph=name)
    second = of(session, document, name, question="Who walks on the stone road?", settings={})
    for stage in second.stages:
        if stage.stage in made:
            assert (stage.calls, stage.tokens_in, stage.embedded_tokens, stage.disk) == (0, 0, 0, 0)
            assert first[stage.stage].disk > 0
    assert second.total("calls") >= 1


def test_a_question_that_was_asked_before_calls_no_model(session, document):
    session.ask(QUESTION, [document.id], graph="retrieval")
    assert of(session, document, "retrieval").total("calls") == 0
    assert of(session, document, "retrieval", settings={"evidence_words": 100}).total("calls") == 1


def test_extracted_gists_call_no_model_and_written_ones_one_a_chunk(session, document):
    extracted = {s.stage: s for s in of(session, document, "compressed-memory", settings=EXTRACT).stages}
    written = {s.stage: s for s in of(session, document, "compressed-memory", settings={"gist": "model"}).stages}
    assert extracted["gist"].calls == 0
    chunks = session.prepare(document, settings={"gist": "model"}) and session.library.database.row(
        "SELECT chunks FROM chunkings"
    )
    assert written["gist"].calls == pytest.approx(chunks[0], rel=0.25)


def test_an_estimate_stores_and_loads_nothing(tmp_path):
    def refuse():
        raise AssertionError("a model was loaded")

    names = {"reader": "r", "gister": "g", "scorer": "s", "embedder": "e"}
    session = scripted_session(tmp_path / "ws", Models.lazy(names, dict.fromkeys(names, refuse)))
    found = session.estimate(QUESTION, [("0" * 64, 2_000_000)], graph="retrieval")
    assert set(found.loads) == {"r", "e"}
    assert found.source == "guess"
    assert session.library.documents.all() == []
    session.library.close()


def test_longer_documents_cost_more_in_step(session):
    costs = [session.estimate(QUESTION, [("0" * 64, size)], graph="retrieval") for size in (10**5, 10**6, 10**7)]
    embedded = [found.total("embedded_tokens") for found in costs]
    assert 8 < embedded[1] / embedded[0] < 12 and 8 < embedded[2] / embedded[1] < 12


def test_a_run_keeps_its_estimate_and_is_compared_with_it(session, document):
    answer = session.ask(QUESTION, [document.id], graph="retrieval")
    steps = session.library.runs.steps(answer.run_id)
    found = compare(steps)
    assert found.expected == steps[0].detail["estimate"]["seconds"]
    assert found.actual >= sum(step.seconds for step in steps)
    assert found.factor >= 1
    assert compare([]) is None


def test_steps_write_down_what_they_did(session, document):
    answer = session.ask(QUESTION, [document.id], graph="retrieval")
    done = {(past.stage, past.kind): past for past in pasts(session.library.runs.recent_details(50))}
    assert done["chunk", "cut"].amount == document.length
    assert done["index", "embed"].amount > 500
    call = done["answer", "generate"]
    assert (call.amount, call.written) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    session.ask(QUESTION, [document.id], graph="retrieval")
    for _ in range(3):
        session.fork(answer.run_id, len(session.library.runs.steps(answer.run_id)))
    assert pasts(session.library.runs.recent_details(99)).count(call) == 1, "copies of steps are no work of a fork"
    newest = pasts(session.library.runs.recent_details(5))
    assert {past.kind for past in newest} == {"rest"}  # all else came from the cache or was stored


SPEED = Speed(read=100.0, write=10.0, write_together=40.0, load=3.0, source="measured")


def speeds(history=()):
    return Speeds(list(history), lambda name: SPEED)


@given(st.integers(50, 5000), st.floats(0.2, 8.0))
def test_a_slower_past_makes_slower_forecasts(tokens, slowness):
    work = Work("generate", "reader", tokens, 10, 1, 48)
    plain, source = speeds().seconds("answer", work, "m")
    assert source == "measured"
    took = [Past("answer", "generate", "m", slowness * plain, tokens, 10, 1)] * 3
    now, source = speeds(took).seconds("answer", work, "m")
    assert source == "runs"
    assert now == pytest.approx(slowness * plain, rel=0.01)


def test_the_past_of_another_model_says_nothing():
    took = [Past("answer", "generate", "other", 1000.0, 500, 10, 1)]
    work = Work("generate", "reader", 500, 10, 1, 48)
    assert speeds(took).seconds("answer", work, "m")[1] == "measured"


def test_one_odd_run_does_not_spoil_the_median():
    usual, odd = Past("answer", "generate", "m", 6.0, 500, 10, 1), Past("answer", "generate", "m", 600.0, 500, 10, 1)
    work = Work("generate", "reader", 500, 10, 1, 48)
    assert speeds([odd, usual, usual]).seconds("answer", work, "m")[0] == pytest.approx(6.0, rel=0.01)


def test_a_model_that_loads_in_two_parts_is_expected_to_take_both():
    opened, called = Past("gate", "load", "m", 0.5, 0, 0, 0), Past("answer", "load", "m", 10.0, 0, 0, 1)
    assert speeds([called, opened, called, opened]).load("m") == (10.5, "runs")
    assert speeds([opened]).load("m") == (0.5, "runs")
    assert speeds().load("m") == (SPEED.load, "measured")


def test_replies_are_expected_as_long_as_they_were():
    took = [Past("answer", "generate", "m", 6.0, 500, 30, 1)]
    work = Work("generate", "reader", 500, 10, 1, 48)
    assert speeds(took).written("answer", work, "m") == 30
    assert speeds(took).written("answer", Work("generate", "reader", 500, 10, 1, 20), "m") == 20


def test_a_graph_may_bring_its_own_formula():
    base = get_graph("retrieval")
    facts = Facts((DocumentFacts.guessed(1000, 512),))
    own = ReadingGraph(
        base.name, base.system, base.honesty, base.settings_type, base.build, base.doc,
        lambda settings, facts: [StageCost("dream", (Work("cut", amount=facts.characters),))],
    )  # fmt: skip
    assert [cost.stage for cost in own.costs(own.settings({}), facts)] == ["dream"]
