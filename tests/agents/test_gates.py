"""Gates behind one interface, and the waves of the one that decides by a threshold."""

import json

import numpy as np
import pytest
from gate_heads import coverage_head, random_head

from rereader.agents.context import RunContext
from rereader.agents.gate import gate_cost, gate_named, recall, yes_or_no
from rereader.agents.gate_inputs import all_chunks, gate_inputs
from rereader.agents.gates import Asked
from rereader.agents.gates_trained import trained_scorer
from rereader.agents.ledger import quote
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import queries_of
from rereader.graphs.registry import get_graph
from rereader.models.gatefeatures import FEATURES, features
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import InputError, ModelError, Span
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

FACTS = [
    "The strongbox of the Ulpelhala office is kept by Orsk Vellmar.",
    "Orsk Vellmar was born in the town of Quiddle.",
]
QUESTION = "Where was the keeper of the Ulpelhala strongbox born?"
BASE = {"gist": "extract", "chunk_tokens": 96, "decline_below": 0, "answer": False}


@pytest.fixture
def session(tmp_path):
    models = Models(
        reader=ScriptedModel(quoting_reply, name="reader"),
        scorer=ScriptedModel(lambda prompt: "A", name="scorer", attends=True, context_window=4000),
        embedder=HashingEmbedder(),
    )
    made = scripted_session(tmp_path / "ws", models)
    yield made
    made.close()


@pytest.fixture
def document(session):
    return session.add_text(plant(essay(1, 120), FACTS), title="e", source="e.txt", settings=BASE)


@pytest.fixture
def head(tmp_path):
    def write(threshold=0.35, **changes):
        path = tmp_path / "gate.safetensors"
        coverage_head(threshold, **changes).write(path)
        return str(path)

    return write


def context_of(session, document, **settings):
    return RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=get_graph("compressed-memory").settings({**BASE, **settings}),
        run_id="run",
        documents=(document,),
    )


def asked(session, document, known=(), **settings):
    context = context_of(session, document, **settings)
    targets = targets_of(context, context.settings.memory)
    return Asked(context, targets, QUESTION, known)


def record_of(session, document, fact):
    context = context_of(session, document)
    start = session.library.documents.text(document.id).index(fact)
    return quote(context, Span(document_id=document.id, start=start, end=start + len(fact)), fact, "test", 0)


def gate_steps(session, answer):
    return [step for step in session.library.runs.steps(answer.run_id) if step.node == "gate"]


def run(session, document, **settings):
    return session.ask(QUESTION, [document.id], settings={**BASE, **settings})


@pytest.mark.parametrize("name", ["choose", "likelihood", "attention", "trained"])
def test_every_gate_gives_each_candidate_a_score(session, document, head, name):
    question = asked(session, document, gate=name, trained_gate=head())
    keys = all_chunks(question.targets)[:5]
    found = gate_named(name).judge(question, keys)
    assert list(found) == keys and all(isinstance(value, float) for value in found.values())
    assert gate_named(name).judge(question, []) == {}


def test_recall_alone_decides_where_the_gate_is_similarity(session, document):
    question = asked(session, document)
    assert gate_named("similarity").judge(question, all_chunks(question.targets)) == {}
    [step] = gate_steps(session, run(session, document, waves=1, candidates=6, accept=2))
    assert [row[3] for row in step.detail["decisions"]] == [None] * 6
    queries = queries_of(question.context, question.targets, QUESTION, [])
    recalled = recall(question.context, question.targets, queries, [])
    best = sorted(recalled, key=lambda key: (-recalled[key], key))[:6]
    assert [tuple(row[:2]) for row in step.detail["decisions"]] == best


@pytest.mark.parametrize("name", ["choose", "likelihood"])
def test_without_a_scorer_recall_alone_decides(tmp_path, name):
    bare = scripted_session(tmp_path / "bare", Models(embedder=HashingEmbedder()))
    document = bare.add_text(plant(essay(1, 60), []), title="e", source="e.txt", settings=BASE)
    question = asked(bare, document, gate=name)
    assert gate_named(name).judge(question, all_chunks(question.targets)) == {}
    bare.close()


def test_the_scorer_is_asked_once_for_all_with_what_is_known(session, document):
    known = record_of(session, document, FACTS[0])
    question = asked(session, document, [known], gate="choose")
    keys = all_chunks(question.targets)[:3]
    gate_named("choose").judge(question, keys)
    calls = session.models.scorer.calls
    assert {call.method for call in calls} == {"choose"} and len(calls) == 4, "three memories and an empty one"
    assert all("Known already: " in call.prompt and FACTS[0] in call.prompt for call in calls)


def test_yes_or_no_gives_both_sides(session, document):
    question = asked(session, document)
    rows = yes_or_no(question.context.need("scorer"), QUESTION, [], question.memories([(0, 0), (0, 1)]))
    assert rows.shape == (2, 2)


def test_features_are_of_all_chunks_and_follow_what_is_known(session, document):
    before = asked(session, document)
    table = features(gate_inputs(before))
    assert table.shape == (len(all_chunks(before.targets)), len(FEATURES)) and np.isfinite(table).all()
    text = session.library.documents.text(document.id)
    chunking = before.targets[0].chunking
    places = [session.library.chunks.overlapping(chunking, text.index(fact), text.index(fact) + 5)[0] for fact in FACTS]
    coverage = table[:, FEATURES.index("coverage by the chunk")]
    assert int(np.argmax(coverage)) == places[0].ordinal
    known = record_of(session, document, FACTS[0])
    leads = features(gate_inputs(asked(session, document, [known])))[:, FEATURES.index("coverage of a lead")]
    assert int(np.argmax(leads)) == places[1].ordinal, "the keeper's name leads to where he was born"
    assert table[:, FEATURES.index("coverage of a lead")].max() == 0.0


def test_features_of_several_documents_are_those_of_one_crowd(session, document):
    other = session.add_text(plant(essay(2, 60), []), title="o", source="o.txt", settings=BASE)
    context = context_of(session, document)
    context.documents = (other, document)
    targets = targets_of(context, "gist")
    both = features(gate_inputs(Asked(context, targets, QUESTION)))
    first = targets[0].chunking.chunks
    assert len(both) == first + targets[1].chunking.chunks
    alone = features(gate_inputs(asked(session, document)))
    assert both[first:, 0] == pytest.approx(alone[:, 0])
    assert int(np.argmax(both[:, FEATURES.index("coverage by the chunk")])) >= first


def test_what_is_above_the_threshold_is_let_in(session, document, head):
    answer = run(session, document, gate="trained", trained_gate=head(), waves=1)
    [step] = gate_steps(session, answer)
    rows, odds = step.detail["decisions"], step.detail["log_odds"]
    [chunks] = session.library.runs.steps(answer.run_id)[0].detail["chunks"]
    assert len(rows) == len(odds) == chunks, "every chunk is written down"
    assert [row[-1] for row in rows] == [value >= step.detail["threshold"] for value in odds]
    assert 0 < sum(row[-1] for row in rows) < chunks
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
    assert step.detail["trained_gate"] == "gate.safetensors"
    assert json.dumps(step.detail)


def test_at_most_accept_are_let_in_and_the_rest_waits(session, document, head):
    gate = head(threshold=-1.0)
    steps = gate_steps(session, run(session, document, gate="trained", trained_gate=gate, waves=3, accept=2))
    taken = [[tuple(row[:2]) for row in step.detail["decisions"] if row[-1]] for step in steps]
    assert [len(keys) for keys in taken] == [2, 2, 2]
    assert len({key for keys in taken for key in keys}) == 6, "none is let in twice"


def test_what_waits_is_read_though_nothing_new_is_found_and_the_rest_is_told(session, document, head):
    """Chunks above the threshold are due, whatever the wave before them came to."""
    settings = {"gate": "trained", "trained_gate": head(threshold=-1.0), "accept": 2, "evidence_words": 1}
    answer = run(session, document, waves=4, **settings)
    steps = gate_steps(session, answer)
    [chunks] = session.library.runs.steps(answer.run_id)[0].detail["chunks"]
    assert [step.detail["waiting"] for step in steps] == [chunks - 2 * number for number in (1, 2, 3, 4)]
    assert [warning for warning in answer.warnings if f"{chunks - 8} more chunks lie above" in warning]
    whole = run(session, document, waves=99, **settings)
    assert gate_steps(session, whole)[-1].detail["waiting"] == 0
    assert not [warning for warning in whole.warnings if "more chunks" in warning]


def test_the_best_is_let_in_if_none_is_above_the_threshold(session, document, head):
    gate = head(threshold=2.0)
    steps = gate_steps(session, run(session, document, gate="trained", trained_gate=gate, waves=3))
    assert [sum(row[-1] for row in step.detail["decisions"]) for step in steps] == [1, 0]
    assert steps[0].detail["decisions"][0][-1]
    assert max(steps[0].detail["log_odds"]) == steps[0].detail["log_odds"][0]


def test_after_a_write_only_what_is_near_the_threshold_is_gated_again(session, document, head):
    gate = head(threshold=0.35, margin=4.0)
    first, second, *_ = gate_steps(session, run(session, document, gate="trained", trained_gate=gate, accept=1))
    threshold = first.detail["threshold"]
    taken = {tuple(row[:2]) for row in first.detail["decisions"] if row[-1]}
    scored = zip(first.detail["decisions"], first.detail["log_odds"], strict=True)
    near = {tuple(row[:2]) for row, odds in scored if abs(odds - threshold) <= 4.0} - taken
    again = {tuple(row[:2]) for row in second.detail["decisions"]}
    let_in = {tuple(row[:2]) for row in second.detail["decisions"] if row[-1]}
    assert near and again - let_in <= near <= again
    assert len(again) < len(first.detail["decisions"])


def test_waves_end_when_nothing_changes(session, document, head):
    steps = gate_steps(session, run(session, document, gate="trained", trained_gate=head(0.35, margin=0.0), waves=9))
    assert len(steps) < 9
    assert not any(row[-1] for row in steps[-1].detail["decisions"]) or len(steps) == 1


def test_a_higher_recall_lets_more_in(session, document, head):
    gate = head(threshold=0.2, scale=0.5)
    counts = []
    for wanted in (0.9, 0.95, 0.98):
        settings = {"gate": "trained", "trained_gate": gate, "gate_recall": wanted, "waves": 1, "accept": 99}
        [step] = gate_steps(session, run(session, document, **settings))
        counts.append(sum(row[-1] for row in step.detail["decisions"]))
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_a_recall_without_a_threshold_is_refused(session, document, head):
    with pytest.raises(InputError, match=r"no threshold for a recall of 0\.5"):
        run(session, document, gate="trained", trained_gate=head(), gate_recall=0.5)


def test_an_embedder_without_a_trained_gate_is_refused(session, document):
    with pytest.raises(InputError, match="No trained gate comes with the package for the embedder hashing"):
        run(session, document, gate="trained")


def test_a_gate_for_another_embedder_is_refused(tmp_path, head):
    other = scripted_session(tmp_path / "other", Models(embedder=HashingEmbedder(dimension=64)))
    document = other.add_text(plant(essay(1, 60), []), title="e", source="e.txt", settings=BASE)
    with pytest.raises(InputError, match="hashing gives other vectors"):
        run(other, document, gate="trained", trained_gate=head())
    other.close()


def test_a_damaged_gate_is_refused(session, document, tmp_path):
    path = tmp_path / "gate.safetensors"
    random_head().write(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelError, match="damaged"):
        run(session, document, gate="trained", trained_gate=str(path))


def test_a_missing_gate_is_said(session, document, tmp_path):
    with pytest.raises(InputError, match="There is no trained gate"):
        run(session, document, gate="trained", trained_gate=str(tmp_path / "none.safetensors"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="There is no trained gate in"):
        run(session, document, gate="trained", trained_gate=str(tmp_path / "empty"))


def test_a_step_that_runs_again_decides_the_same(session, document, head):
    """What earlier waves came to is read from steps before this one, so a node that is run twice does the same."""
    from rereader.agents.gates_waves import let_in

    answer = run(session, document, gate="trained", trained_gate=head(threshold=-1.0), accept=2, waves=2)
    first, second = gate_steps(session, answer)
    context = context_of(session, document, gate="trained", trained_gate=head(threshold=-1.0), accept=2)
    context.run_id = answer.run_id
    for step in (second, first):
        context.step = step.number
        accepted, _ = let_in(Asked(context, targets_of(context, "gist"), QUESTION))
        wanted = {tuple(row[:2]) for row in step.detail["decisions"] if row[-1]}
        assert set(accepted) == wanted


def test_the_ledger_can_use_it_too(session, document, head):
    settings = {**BASE, "gate": "trained", "trained_gate": head(), "kind": "several"}
    answer = session.ask(QUESTION, [document.id], graph="ledger", settings=settings)
    assert gate_steps(session, answer)[0].detail["trained_gate"] == "gate.safetensors"


def test_scores_are_probabilities_of_the_same_order(session, document, head):
    question = asked(session, document, gate="trained", trained_gate=head())
    keys = all_chunks(question.targets)
    odds = trained_scorer(question.context).log_odds(question, keys)
    judged = gate_named("trained").judge(question, keys)
    assert [judged[key] for key in keys] == pytest.approx(1 / (1 + np.exp(-odds)))


def test_costs_name_the_scorer_only_where_it_is_called(tmp_path):
    from rereader.agents.costs import DocumentFacts, Facts

    facts = Facts((DocumentFacts(40_000, 10_000, 20),), bound=frozenset({"scorer", "embedder"}))

    def calls(**settings):
        cost = gate_cost(get_graph("compressed-memory").settings(settings), facts)
        return sum(work.calls for work in cost.works if work.role == "scorer")

    assert calls() == calls(gate="trained") == calls(gate="trained", trained_gate="file.safetensors") == 0
    assert calls(gate="choose", candidates=10, waves=2) == 20
    assert calls(gate="trained", trained_gate=str(tmp_path)) == 20


def test_a_folder_called_none_is_no_trained_gate(tmp_path, monkeypatch):
    from rereader.agents.costs import DocumentFacts, Facts

    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path)
    facts = Facts((DocumentFacts(40_000, 10_000, 20),), bound=frozenset({"scorer", "embedder"}))
    cost = gate_cost(get_graph("compressed-memory").settings({"gate": "trained"}), facts)
    assert [work for work in cost.works if work.role == "scorer"] == []
