"""The ledger: questions are sorted, chunks re-read, quotes kept, and serial depth does not grow with the text."""

import pytest

from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
SETTINGS = {"decline_below": 0, "gist": "extract"}
LETTERS = {"local": [0.0, -3.0, -3.0], "several": [-3.0, 0.0, -3.0], "whole": [-3.0, -3.0, 0.0]}


def reader_that_sorts(kind):
    def reply(prompt):
        return "A recap." if "Passages" not in prompt else quoting_reply(prompt)

    return ScriptedModel(reply, name="reader", choose=lambda prompt, options: LETTERS[kind])


@pytest.fixture
def open_session(tmp_path):
    opened = []

    def make(kind="local", reader=None):
        models = Models(reader=reader or reader_that_sorts(kind), embedder=HashingEmbedder())
        opened.append(scripted_session(tmp_path / f"ws{len(opened)}", models))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def ask(session, text, settings=None, question=QUESTION):
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
    return session.ask(question, [document.id], graph="ledger", settings={**SETTINGS, **(settings or {})})


def nodes(session, answer):
    return [step.node for step in session.library.runs.steps(answer.run_id)]


def test_a_question_for_one_place_is_searched_once(open_session):
    session = open_session()
    answer = ask(session, plant(essay(1, 400), [FACT]), {"kind": "local"})
    assert nodes(session, answer) == ["chunk", "sort", "index", "gate", "reason", "answer", "finish"]
    assert any(FACT in item.quote for item in answer.evidence)
    assert "5265" in answer.evidence[answer.claims[0].evidence[0]].quote
    assert session.library.runs.steps(answer.run_id)[1].detail["kind"] == "local"


def test_a_question_for_several_places_goes_on_in_waves(open_session):
    session = open_session("several")
    answer = ask(session, plant(essay(1, 400), [FACT]), {"evidence_words": 200})
    assert nodes(session, answer).count("gate") > 1


@pytest.mark.parametrize("said", ["local", "several"])
def test_what_is_not_about_the_whole_is_taken_to_need_several_places(open_session, said):
    session = open_session(said)
    answer = ask(session, plant(essay(1, 100), [FACT]))
    assert session.library.runs.steps(answer.run_id)[1].detail["kind"] == "several"


def test_the_second_hop_is_found(open_session):
    facts = [
        "Kormel Kelhesfala is the only ferryman in the town of Ulpelhala.",
        *(f"Every spring Person{i} Name{i} lodges with Host{i}." for i in range(30)),
        "Every spring Kormel Kelhesfala lodges with Tamwenis Kelgarweno.",
    ]
    text = plant(essay(3, 500), facts)
    question = "With whom does the ferryman of Ulpelhala lodge every spring?"
    few = {"evidence_words": 50, "passage_words": 12}
    found = {}
    for kind in ("local", "several"):
        answer = ask(open_session(), text, {**few, "kind": kind}, question)
        found[kind] = any("Tamwenis" in item.quote for item in answer.evidence)
    assert found == {"local": False, "several": True}


def test_a_request_for_the_whole_is_answered_from_a_tree(open_session):
    session = open_session("whole")
    answer = ask(session, plant(essay(1, 400), [FACT]), {"every": 400}, "Summarise the text.")
    assert nodes(session, answer) == ["chunk", "sort", "tree", "sum up", "finish"]
    assert answer.answer == "A recap."


@pytest.mark.parametrize("kind", ["local", "several", "whole"])
def test_the_kind_can_be_forced_and_then_nobody_is_asked(open_session, kind):
    session = open_session("local")
    answer = ask(session, plant(essay(1, 100), [FACT]), {"kind": kind, "every": 400})
    step = session.library.runs.steps(answer.run_id)[1]
    assert (step.detail["kind"], step.detail["forced"], step.calls) == (kind, True, ())


def test_without_a_reader_every_question_is_searched_for(tmp_path):
    session = scripted_session(tmp_path / "bare", Models(reader=None, embedder=HashingEmbedder()))
    answer = ask(session, plant(essay(1, 100), [FACT]), {"kind": "whole"})
    assert "5265" in answer.answer
    assert any("no reader" in warning for warning in answer.warnings)
    session.close()


def test_serial_depth_does_not_grow_with_the_text(open_session):
    depths = []
    for sentences in (200, 2000):
        session = open_session("several")
        depths.append(ask(session, plant(essay(1, sentences), [FACT])).usage.serial_depth)
    assert depths[0] == depths[1]


def test_gists_are_searched_if_asked_for(open_session):
    session = open_session()
    answer = ask(session, plant(essay(1, 400), [FACT]), {"memory": "gist"})
    assert nodes(session, answer)[2:4] == ["gist", "index"]
    assert any(FACT in item.quote for item in answer.evidence)


SPARED = {"several": {"gist", "tree", "sum up"}, "whole": {"gist", "index", "gate"}}


@pytest.mark.parametrize(("kind", "spared"), SPARED.items())
def test_what_is_foretold_is_the_way_that_is_taken(open_session, kind, spared):
    session = open_session(kind)
    text = plant(essay(1, 300), [FACT])
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
    found = session.estimate(QUESTION, [(document.id, len(text))], graph="ledger", settings={"kind": kind})
    idle = {stage.stage for stage in found.stages if not (stage.calls or stage.embedded_tokens or stage.disk)}
    assert spared <= idle
    assert found.total("calls") >= 1


def test_an_answer_that_the_question_makes_no_likelier_is_told_apart(open_session):
    def reply(prompt):
        return "1" if "numbers" in prompt else quoting_reply(prompt)

    reader = ScriptedModel(reply, name="reader", choose=lambda prompt, options: LETTERS["local"])
    session = open_session(reader=reader)
    answer = ask(session, plant(essay(1, 100), [FACT]), {"null_question": True})
    step = next(step for step in session.library.runs.steps(answer.run_id) if step.node == "answer")
    assert step.detail["signals"]["lift"] != 0
    assert [call.method for call in step.calls] == ["generate", "log_likelihood", "log_likelihood"]
    plain = ask(session, plant(essay(1, 100), [FACT]))
    step = next(step for step in session.library.runs.steps(plain.run_id) if step.node == "answer")
    assert step.detail["signals"]["lift"] == 0
