"""What a gate is trained on: texts with marked places, and cases with labels."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from gate_data import questions, write_data

from rereader.evals.marked import _multihop, dealt
from rereader.models.gatefeatures import FEATURES
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.tokens import estimate_counter
from rereader.schema import InputError, Interrupted
from rereader.training.gate import GatePlan
from rereader.training.gate_cases import make_cases
from rereader.training.gate_texts import data_hash, make_texts, read_questions


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), 16)


@pytest.fixture(scope="module")
def cases(data):
    return make_cases(read_questions(data), Models(embedder=HashingEmbedder()), estimate_counter(), rounds=2, seed=3)


def test_only_the_half_that_is_not_measured_is_read(data):
    rows = read_questions(data)
    every = [row for source in ("hotpotqa", "2wikimultihopqa", "musique") for row in questions(source, 16)]
    assert {dealt(row["id"]) for row in rows} == {"detect"}
    assert 0 < len(rows) < len(every)
    assert len(read_questions(data, ["musique"])) < len(rows)


def test_unknown_sets_and_missing_data_are_said(data, tmp_path):
    with pytest.raises(InputError, match="no set 'squad'"):
        read_questions(data, ["squad"])
    with pytest.raises(InputError, match="Cannot read"):
        read_questions(tmp_path)


def test_the_data_have_a_name(data, tmp_path):
    assert data_hash(data) == data_hash(data) != data_hash(write_data(tmp_path, 15))


def test_places_hold_the_facts_and_every_question_is_put_once(data):
    rows = {row["id"]: row for row in read_questions(data)}
    texts = list(make_texts(list(rows.values()), 40, 4, Random(1)))
    assert Counter(q.id for text in texts for q in text.questions) == Counter(list(rows))
    for text in texts:
        assert text.text.count("\n\n") >= 40 or len(texts) == 1
        for question in text.questions:
            wanted = {
                rows[question.id]["paragraphs"][0]["sentences"][0],
                rows[question.id]["paragraphs"][1]["sentences"][1],
            }
            assert {text.text[start:end] for places in question.facts for start, end in places} == wanted
            assert len(question.facts) == 2 and len(question.paragraphs) == 6


def test_texts_are_made_again_the_same(data):
    rows = read_questions(data)
    one, two, other = (list(make_texts(rows, 30, 4, Random(seed))) for seed in (5, 5, 6))
    assert one == two != other


def test_of_a_paragraph_marked_whole_the_sentences_with_an_answer_are_wanted():
    row = questions("musique", 1)[0]
    keeper = row["paragraphs"][0]["sentences"][0].removesuffix(".").split(" kept by ")[1]
    row["paragraphs"][0]["sentences"] = [" ".join(row["paragraphs"][0]["sentences"])]
    row["decomposition"] = [{"answer": keeper}, {"answer": row["answer"]}]
    [text] = make_texts([row], 1, 1, Random(0))
    [(start, end)] = text.questions[0].facts[0]
    assert text.text[start:end].strip().endswith(f"kept by {keeper}.")


def with_a_title_twice(paragraphs):
    """A question one of whose other paragraphs has the title of a needed one, before or after it."""
    row = questions("musique", 1)[0]
    twin = {"title": row["paragraphs"][0]["title"], "sentences": ["Somebody else is meant."], "is_supporting": False}
    return row | {"paragraphs": [row["paragraphs"][place] if place is not None else twin for place in paragraphs]}


@pytest.mark.parametrize("paragraphs", [[0, 1, None, 2], [None, 2, 1, 0]])
def test_a_paragraph_is_told_from_another_of_its_title(paragraphs):
    row = with_a_title_twice(paragraphs)
    [text] = make_texts([row], 1, 1, Random(0))
    wanted = {tuple(text.text[start:end] for start, end in places) for places in text.questions[0].facts}
    needed = [row["paragraphs"][paragraphs.index(place)]["sentences"] for place in (0, 1)]
    assert wanted == {(needed[0][0],), (needed[1][1],)}
    assert len(set(text.questions[0].paragraphs)) == 4 and "Somebody else" in text.text
    item = _multihop(row)
    assert {item.parts[place].strip().splitlines()[-1] for place in item.gold} == {needed[0][0], needed[1][1]}


def test_a_few_questions_are_drawn_from_all_sets(data):
    plan = GatePlan(data, questions=9)
    assert len({row["id"].partition(":")[0] for row in plan.read()}) == 3 and plan.read() == plan.read()
    assert len(plan.read()) == 9 and len(GatePlan(data, questions=999).read()) == len(read_questions(data))


def test_cases_are_labelled_by_what_is_still_missing(cases, data):
    rows = {row["id"]: row for row in read_questions(data)}
    assert {case.question for case in cases} == set(rows)
    for case in cases:
        assert case.features.shape == (len(case.memories), len(FEATURES)) and np.isfinite(case.features).all()
        assert case.labels.any() and len(case.labels) == len(case.weights) == len(case.memories)
        assert (case.weights >= 1).all()
    known = [case for case in cases if case.hops]
    assert known and all(len(case.known) >= 1 for case in known)
    assert any(case.known and not case.hops for case in cases), "a working memory may hold nothing to the point"
    assert any(not case.known for case in cases)


def test_what_is_known_is_no_longer_wanted(cases, data):
    rows = {row["id"]: row for row in read_questions(data)}
    for case in cases:
        if case.hops:
            texts = [record.content for record in case.known]
            facts = {
                rows[case.question]["paragraphs"][0]["sentences"][0],
                rows[case.question]["paragraphs"][1]["sentences"][1],
            }
            held = facts & set(texts)
            wanted = [memory for memory, label in zip(case.memories, case.labels, strict=True) if label]
            assert held and not any(fact in memory for fact in held for memory in wanted)


def test_the_second_hop_is_marked_by_features_of_what_is_known(cases):
    column = FEATURES.index("coverage of a lead")
    leads = [case.features[case.labels, column].max() for case in cases if case.hops]
    without = [case.features[:, column].max() for case in cases if not case.known]
    assert max(without) == 0.0
    assert np.mean([lead > 0 for lead in leads]) > 0.5


def test_cases_are_made_again_the_same(cases, data):
    again = make_cases(read_questions(data), Models(embedder=HashingEmbedder()), estimate_counter(), rounds=2, seed=3)
    assert len(again) == len(cases)
    for one, two in zip(cases, again, strict=True):
        assert (one.question, one.memories, one.known) == (two.question, two.memories, two.known)
        assert np.array_equal(one.features, two.features) and np.array_equal(one.labels, two.labels)


def test_it_can_be_stopped_and_says_how_far_it_is(data):
    import threading

    cancel, told = threading.Event(), []

    def tell(done, total):
        told.append((done, total))
        if done == 1:
            cancel.set()

    with pytest.raises(Interrupted):
        make_cases(
            read_questions(data),
            Models(embedder=HashingEmbedder()),
            estimate_counter(),
            rounds=1,
            seed=0,
            told=tell,
            cancel=cancel,
        )
    assert [done for done, _ in told] == [0, 1] and told[0][1] > 1
