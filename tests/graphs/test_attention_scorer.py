"""Attention as the gate and as the reranker of other graphs."""

import numpy as np
import pytest

from rereader.agents.reranker import attention_of
from rereader.graphs.registry import get_graph
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.prompts.loader import Piece
from rereader.schema import InputError
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"


@pytest.fixture
def scorer():
    return ScriptedModel(lambda prompt: "A", name="scorer", attends=True, context_window=2000)


@pytest.fixture
def reading(tmp_path, scorer):
    reader = ScriptedModel(quoting_reply, name="reader")
    made = scripted_session(tmp_path / "ws", Models(reader=reader, scorer=scorer, embedder=HashingEmbedder()))
    yield made
    made.library.close()


def ask(session, graph, **settings):
    given = {"decline_below": 0, **settings}
    if graph == "compressed-memory":
        given["gist"] = "extract"
    text = plant(essay(1, 200), [FACT])
    document = session.add_text(text, title="essay", source="essay.txt", graph=graph, settings=given)
    return session.ask(QUESTION, [document.id], graph=graph, settings=given)


def test_the_gate_asks_for_all_candidates_at_once(reading, scorer):
    answer = ask(reading, "compressed-memory", gate="attention", waves=1, candidates=4, accept=2)
    [step] = [step for step in reading.library.runs.steps(answer.run_id) if step.node == "gate"]
    judged = [decision[3] for decision in step.detail["decisions"]]
    assert len(judged) == 4 and None not in judged and len(set(judged)) > 1
    assert len([call for call in scorer.calls if call.method == "attention"]) <= 4
    assert any(FACT in item.quote for item in answer.evidence)


@pytest.mark.parametrize("graph", ["compressed-memory", "retrieval"])
def test_the_reranker_puts_first_what_the_question_looks_at(reading, graph):
    plain, ranked = (ask(reading, graph, rerank=how, rerank_weight=100.0) for how in ("none", "attention"))
    steps = [reading.library.runs.steps(answer.run_id) for answer in (plain, ranked)]
    scores = [next(s.detail["scores"] for s in found if s.detail.get("scores")) for found in steps]
    assert sorted(scores[0].values())[-1] == sorted(scores[1].values())[-1] == 1.0
    best = max(scores[1], key=scores[1].__getitem__)
    [record] = reading.library.records.get([best])
    assert FACT in record.content
    assert "look" in {call.method for step in steps[1] for call in step.calls}
    assert "look" not in {call.method for step in steps[0] for call in step.calls}


def test_texts_that_do_not_fit_one_prompt_are_looked_at_in_several(reading, scorer):
    texts = [Piece(f"Nothing stands in part {number} of this. ") for number in range(300)]
    texts[70] = Piece("The strongbox stands here. ")
    document = reading.add_text("A text.", title="t", source="t", graph="retrieval")
    context = reading._context("run", (document,), get_graph("retrieval").settings({}), lambda _: None, None)
    masses = attention_of(context, QUESTION, texts)
    assert masses.shape == (300,) and int(np.argmax(masses)) == 70
    assert len(scorer.calls) > 2
    assert attention_of(context, QUESTION, []).shape == (0,)


def test_a_scorer_that_cannot_look_is_refused(tmp_path):
    models = Models(scorer=ScriptedModel(["A"], name="blind"), embedder=HashingEmbedder())
    session = scripted_session(tmp_path, models)
    with pytest.raises(InputError, match="cannot be read"):
        ask(session, "retrieval", rerank="attention")
    session.close()
