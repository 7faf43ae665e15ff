"""Graphs end to end on scripted models: what they find, write and remember; test_conformance.py has what all keep."""

import json
import threading
import time

import pytest

from rereader.graphs.registry import get_graph
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.speed import guess_unknown
from rereader.runs.estimated import compare
from rereader.runs.rows import stage_seconds
from rereader.runs.speeds import Speeds, pasts
from rereader.schema import Budget, InputError, Interrupted
from rereader.schema.usage import WAITING
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"


@pytest.fixture
def document(session):
    text = plant(essay(1, 400), [FACT])
    return session.add_text(text, title="essay", source="essay.txt", settings={"gist": "extract"})


@pytest.mark.parametrize("name", ["compressed-memory", "evidence-replay", "retrieval"])
def test_a_planted_fact_is_found_quoted_and_cited(session, document, name):
    answer = session.ask(QUESTION, [document.id], graph=name, settings={"decline_below": 0})
    assert any(FACT in item.quote for item in answer.evidence)
    assert "5265" in answer.evidence[answer.claims[0].evidence[0]].quote
    assert sum(len(item.quote.split()) for item in answer.evidence) <= 300


def test_a_second_question_embeds_and_writes_nothing_again(session, document):
    extract = {"gist": "extract"}
    first = session.ask(QUESTION, [document.id], settings=extract)
    vectors = session.library.database.rows("SELECT COUNT(*) FROM vectors")[0][0]
    second = session.ask("Who walks on the stone road in winter?", [document.id], settings=extract)
    assert session.library.database.rows("SELECT COUNT(*) FROM vectors")[0][0] == vectors
    assert second.usage.embedded_tokens < 400  # the question and the quotes it is searched on with
    assert not [s for s in session.library.runs.steps(second.run_id) if s.node == "gist" and s.calls]
    again = session.ask(QUESTION, [document.id], settings=extract)
    assert again.usage.cached_calls == again.usage.calls == first.usage.calls
    assert again.usage.embedded_tokens == 0
    assert (again.answer, again.evidence[0].quote) == (first.answer, first.evidence[0].quote)


def test_a_finished_run_resumes_to_its_answer(session, document):
    answer = session.ask(QUESTION, [document.id])
    assert session.resume(answer.run_id) == answer


def test_a_question_longer_than_the_window_is_refused(session, document):
    with pytest.raises(InputError, match="tokens"):
        session.ask("why " * 40_000, [document.id])


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(session, document, question):
    with pytest.raises(InputError, match="empty"):
        session.ask(question, [document.id])


def test_unknown_graphs_and_settings_are_refused_with_the_nearest_name(session, document):
    with pytest.raises(InputError, match="Did you mean 'retrieval'"):
        session.ask(QUESTION, [document.id], graph="retreival")
    with pytest.raises(InputError, match="Did you mean 'waves'"):
        session.ask(QUESTION, [document.id], settings={"wave": 1})
    with pytest.raises(InputError, match="gist"):
        session.ask(QUESTION, [document.id], settings={"gist": "magic"})


def test_settings_come_from_strings():
    settings = get_graph("compressed-memory").settings({"waves": "3", "answer": "false", "gate_weight": "0.5"})
    assert (settings.waves, settings.answer, settings.gate_weight) == (3, False, 0.5)


def test_evidence_only_calls_no_reader(session, document, models):
    answer = session.ask(QUESTION, [document.id], settings={"answer": False})
    assert models.reader.calls == []
    assert answer.evidence
    assert answer.answer == ""


def test_without_a_reader_the_best_quote_is_the_answer(session, document):
    session.models = type(session.models)(reader=None, gister=None, scorer=None, embedder=session.models.embedder)
    answer = session.ask(QUESTION, [document.id], settings={"decline_below": 0})
    assert "5265" in answer.answer
    assert answer.usage.calls == 0


def test_several_documents_are_asked_together_and_named(session, document):
    other = session.add_text(plant(essay(2, 100), ["Tamwenis keeps forty hives."]), title="bees", source="b.txt")
    answer = session.ask("Who keeps forty hives?", [document.id, other.id], settings={"decline_below": 0})
    cited = answer.evidence[answer.claims[0].evidence[0]]
    assert (cited.document, cited.quote.count("Tamwenis")) == ("bees", 1)


def test_the_working_memory_leads_to_the_second_hop(session):
    facts = [
        "Kormel Kelhesfala is the only ferryman in the town of Ulpelhala.",
        *(f"Every spring Person{i} Name{i} lodges with Host{i}." for i in range(30)),
        "Every spring Kormel Kelhesfala lodges with Tamwenis Kelgarweno.",
    ]
    document = session.add_text(plant(essay(3, 500), facts), title="t", source="t")
    question = "With whom does the ferryman of Ulpelhala lodge every spring?"
    settings = {"decline_below": 0, "evidence_words": 50, "passage_words": 12, "gist": "extract"}
    one = session.ask(question, [document.id], settings={**settings, "waves": 1})
    two = session.ask(question, [document.id], settings={**settings, "waves": 2})
    assert not any("Tamwenis" in item.quote for item in one.evidence)
    assert any("Tamwenis" in item.quote for item in two.evidence)


@pytest.mark.parametrize("method", ["choose", "likelihood"])
def test_the_gate_remembers_every_chunk_it_considered(session, document, method):
    answer = session.ask(QUESTION, [document.id], settings={"gate": method, "gist": "extract"})
    gates = [step for step in session.library.runs.steps(answer.run_id) if step.node == "gate"]
    decisions = gates[0].detail["decisions"]
    assert sum(row[-1] for row in decisions) == min(12, len(decisions))
    assert {call.role for call in gates[0].calls} == {"scorer"}
    assert json.dumps(decisions)


def test_prompts_are_stored_by_reference_and_can_be_rendered_again(session, document):
    from rereader.prompts.loader import Piece, load, prompt_sha256
    from rereader.schema import Span

    answer = session.ask(QUESTION, [document.id])
    library = session.library

    def piece(reference):
        if "span" in reference:
            span = Span(document_id=reference["span"][0], start=reference["span"][1], end=reference["span"][2])
            return Piece(library.documents.text_of(span), span=span)
        if "record" in reference:
            return Piece(library.records.get([reference["record"]])[0].content[: reference["end"]])
        return Piece(reference["text"], trusted=reference.get("trusted", False))

    calls = [call for step in library.runs.steps(answer.run_id) for call in step.calls]
    assert calls
    for call in calls:
        template = load(call.template.split("@")[0])
        slots = {name: [piece(r) for r in value] for name, value in call.slots.items()}
        assert prompt_sha256(template.render(**slots)) == call.prompt_sha256
        assert "harbour" not in json.dumps(call.slots)


def test_gists_are_written_by_the_model_when_asked(session, models):
    document = session.add_text(plant(essay(5, 60), [FACT]), title="t", source="t", settings={"gist": "model"})
    assert models.gister.calls
    before = len(models.gister.calls)
    session.ask(QUESTION, [document.id], settings={"gist": "model"})
    assert len(models.gister.calls) == before


def test_a_reply_that_cannot_be_parsed_is_counted(session, document):
    session.models = Models(
        reader=ScriptedModel(lambda prompt: "all of them", name="mumbler"), embedder=session.models.embedder
    )
    settings = {"reasoner": "model", "decline_below": 0, "gist": "extract"}
    answer = session.ask(QUESTION, [document.id], settings=settings)
    assert answer.usage.parse_failures == 3  # one for each wave
    assert answer.evidence


def test_an_answer_that_no_quote_carries_cites_none(session, document):
    session.models = Models(
        reader=ScriptedModel(lambda prompt: "the moon", name="dreamer"), embedder=session.models.embedder
    )
    answer = session.ask(QUESTION, [document.id], settings={"decline_below": 0})
    assert (answer.answer, answer.claims[0].evidence) == ("the moon", ())


def test_a_spent_budget_answers_with_the_best_quote(session, document):
    answer = session.ask(QUESTION, [document.id], budget=Budget(calls=0), settings={"gist": "extract"})
    assert answer.status == "budget_spent"
    assert "5265" in answer.answer


def test_memories_that_a_question_needs_are_made_under_its_budget(session, models):
    text = plant(essay(8, 300), [FACT])
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
    answer = session.ask(QUESTION, [document.id], settings={"gist": "model"}, budget=Budget(calls=0))
    assert (answer.status, answer.usage.calls, models.gister.calls) == ("budget_spent", 0, [])


def test_no_seeds_means_no_hops(session, document):
    assert session.ask(QUESTION, [document.id], settings={"seeds": 0}).evidence


def test_a_document_named_twice_is_quoted_once(session, document):
    answer = session.ask(QUESTION, [document.id, document.id])
    quotes = [(item.start, item.end) for item in answer.evidence]
    assert len(quotes) == len(set(quotes))


def test_the_cost_of_a_resumed_run_is_the_sum_of_its_steps(session, document):
    cancel = threading.Event()
    reader = session.models.reader
    generate = reader.generate

    def stop_after(*arguments):
        made = generate(*arguments)
        cancel.set()
        reader.generate = generate
        return made

    reader.generate = stop_after
    with pytest.raises(Interrupted):
        session.ask(QUESTION, [document.id], cancel=cancel)
    run = session.library.runs.all()[0]
    answer = session.resume(run.id)
    steps = session.library.runs.steps(run.id)
    assert answer.usage.calls == sum(step.usage.calls for step in steps)
    assert answer.usage.prompt_tokens == sum(step.usage.prompt_tokens for step in steps)


def test_likelihoods_of_different_continuations_are_kept_apart(session):
    import numpy as np

    from rereader.agents.calls import Caller, CallLog, Request
    from rereader.prompts.loader import load
    from rereader.schema import BudgetMeter, Usage

    log = CallLog(BudgetMeter(Budget()), Usage(), (), threading.Event())
    caller = Caller("scorer", session.models.scorer, session.library.calls, log)
    request = Request(load("recall"), {"memory": "bees and wasps"})
    both = caller.log_likelihood([request, request], ["bees", "elephants and tigers"])
    assert both[0] != both[1]
    assert np.array_equal(caller.log_likelihood([request], ["elephants and tigers"]), both[1:])
    assert log.usage.cached_calls == 1


class Endless(ScriptedModel):
    """Writes until it is told to stop."""

    def generate(self, prompts, sampling, cancel=None):
        for _ in range(2000):
            if cancel.is_set():
                raise Interrupted("Stopped.", "Go on.")
            time.sleep(0.005)
        raise AssertionError("nobody stopped it")


def test_the_time_of_a_budget_ends_inside_a_call(session, document):
    session.models = Models(reader=Endless(["x"], name="endless"), embedder=session.models.embedder)
    answer = session.ask(QUESTION, [document.id], graph="retrieval", budget=Budget(seconds=1))
    assert answer.status == "budget_spent"
    assert any("budget of 1 seconds" in warning for warning in answer.warnings)
    assert "5265" in answer.answer


class Waiting(ScriptedModel):
    """Waits for another process before it replies."""

    waited = 0.0

    def generate(self, prompts, sampling, cancel=None):
        time.sleep(0.5)
        self.waited += 0.5
        return super().generate(prompts, sampling, cancel)


def test_seconds_in_which_a_model_waits_are_charged_to_waiting(session, document):
    session.models = Models(reader=Waiting(lambda _: "5265", name="waiting"), embedder=session.models.embedder)
    answer = session.ask(QUESTION, [document.id], graph="retrieval")
    steps = session.library.runs.steps(answer.run_id)
    step = next(step for step in steps if step.node == "answer")
    seconds = answer.usage.seconds
    assert seconds["waiting"] == 0.5
    assert seconds["answer"] + 0.5 == pytest.approx(step.seconds)
    assert [work["seconds"] for work in step.detail["work"] if work["kind"] == "waiting"] == [0.5]
    assert compare(steps).actual == pytest.approx(sum(one.seconds for one in steps) - 0.5, abs=0.01)
    assert stage_seconds(steps)["answer"] == pytest.approx(step.seconds - 0.5)
    assert not [one for one in steps if one.node != "answer" and "waiting" in one.usage.seconds]


class LoadsLate(ScriptedModel):
    """Loads its weights with its first call, as llama.cpp does."""

    loading = 0.0

    def generate(self, prompts, sampling, cancel=None):
        time.sleep(0.5)
        self.loading = 0.5
        return super().generate(prompts, sampling, cancel)


def test_weights_that_a_call_loads_are_loading_and_foretold(session, document):
    late = LoadsLate(lambda _: "5265", name="late")
    session.models = Models(reader=late, embedder=session.models.embedder)
    answer = session.ask(QUESTION, [document.id], graph="retrieval")
    steps = session.library.runs.steps(answer.run_id)
    work = [one for step in steps for one in step.detail["work"] if one["model"] == "late"]
    assert [one["seconds"] for one in work if one["kind"] == "load"] == [0.5]
    assert all(one["seconds"] < 0.3 for one in work if one["kind"] == "generate")
    assert WAITING not in answer.usage.seconds
    assert answer.usage.seconds["loading"] == 0.5
    assert answer.usage.seconds["answer"] < 0.3
    assert sum(answer.usage.seconds.values()) == pytest.approx(sum(one.seconds for one in steps))
    assert compare(steps).actual >= sum(one.seconds for one in steps)
    history = pasts(session.library.runs.recent_details(50))
    assert Speeds(history, lambda _: guess_unknown("late")).load("late") == (0.5, "runs")


def test_the_user_still_interrupts_a_run_that_has_a_time(session, document):
    cancel = threading.Event()
    session.models = Models(reader=Endless(["x"], name="endless"), embedder=session.models.embedder)
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(Interrupted):
        session.ask(QUESTION, [document.id], graph="retrieval", budget=Budget(seconds=60), cancel=cancel)
