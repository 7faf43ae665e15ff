"""The published rules on hand-made cases: what they give, and where their holes are."""

import pytest

from rereader.evals.items import Item
from rereader.evals.rules import RULES, chosen
from rereader.evals.scoring import score_answer, wrong_answer

OPTIONS = ["A red barn", "A blue barn", "The plan of Ann", "No barn at all"]


def item(rule, answers, question="?", budget=50, expects="any", **meta):
    return Item("x", "toy", "kind", question, tuple(answers), ("d",), (), budget, expects=expects, rule=rule, meta=meta)


def own(one, said):
    return RULES[one.rule].score(one, said)["own"]


@pytest.mark.parametrize(
    ("said", "score"),
    [("the numbers are 123 and 456", 1.0), ("1234", 0.5), ("nothing", 0.0), ("", 0.0)],
)
def test_ruler_counts_every_substring(said, score):
    assert own(item("all_in_string", ["123", "456"]), said) == score


def test_rulers_question_answering_takes_any_answer_even_inside_a_word():
    one = item("part_in_string", ["no", "never"])
    assert own(one, "Nothing") == 1.0
    scores = score_answer(one, "Nothing", declined=False)
    assert (scores["own"], scores["right"]) == (1.0, 0.0)  # tables show whole words


def test_naming_everything_stops_at_the_answer_budget():
    one = item("all_in_string", ["77"], budget=3)
    assert score_answer(one, "11 22 33 77", declined=False)["own"] == 0.0
    assert score_answer(one, "11 22 77 33", declined=False)["own"] == 1.0


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("So the answer is the Blue Lantern.", 1.0),
        ("It is \\boxed{blue lantern}.", 1.0),
        ("The answer is red. No, the answer is a blue lantern!", 1.0),
        ("the answer is blue", 1.0),  # the hole: a fragment
        ("blue lantern? The answer is a red one.", 0.0),
        ("", 0.0),
    ],
)
def test_ruler_hqa_looks_both_ways(said, score):
    one = item("two_way", ["blue lantern"])
    assert own(one, said) == score
    if said == "the answer is blue":
        assert score_answer(one, said, declined=False)["right"] == 0.0


@pytest.mark.parametrize(
    ("said", "option"),
    [
        ("B", 1),
        ("(b)", None),
        ("(B)", 1),
        ("B. A blue barn", 1),
        ("The answer is B, as the text says.", 1),
        ("A red barn", 0),
        ("A man sold the blue barn.", 1),
        ("It was a blue barn.", 1),
        ("A or B.", 1),  # only the second letter is set off
        ("A: no. B: yes.", None),
        ("It is E.", None),
        ("No barn at all", 3),
        ("", None),
    ],
)
def test_a_choice_by_letter_or_wording(said, option):
    assert chosen(said, OPTIONS) == option


def test_multiple_choice_is_right_or_wrong():
    one = item("choice", ["A blue barn"], options=OPTIONS)
    assert score_answer(one, "B", declined=False)["right"] == 1.0
    assert score_answer(one, "C", declined=False)["right"] == 0.0
    assert score_answer(one, "B", declined=True)["right"] == 0.0
    assert wrong_answer(one)["right"] == 0.0


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("True", (1.0, 0.0)),
        ("False.", (0.0, 1.0)),
        ("no", (0.0, 1.0)),
        ("At first it looks false, but it is TRUE", (1.0, 0.0)),
        ("It follows that Ann is older.", (0.0, 0.0)),
        ("nothing is untrue", (0.0, 0.0)),
    ],
)
def test_the_last_verdict_counts(said, right):
    assert (own(item("truth", ["true"]), said), own(item("truth", ["false"]), said)) == right


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("hallway", 1.0),
        ("Daniel is in the Hallway. Mary is in the garden.", 1.0),
        ("the hallway or the garden", 0.0),
        ("the kitchen, then the hallway", 1.0),  # no label: the question names it
        ("the garden. The hallway", 0.0),
        ("", 0.0),
    ],
)
def test_babilong_wants_the_one_label(said, score):
    assert own(item("labels", ["hallway"], labels=["garden", "hallway"]), said) == score


def test_babilong_lists_and_ways():
    things = ["apple", "milk", "nothing"]
    assert own(item("labels", ["milk,apple"], labels=things), "the apple and the milk") == 1.0
    assert own(item("labels", ["milk,apple"], labels=things), "the apple") == 0.0
    assert own(item("path", ["s,e"]), "South, then east") == 1.0
    assert own(item("path", ["s,e"]), "e, s") == 0.0


def test_rouge_takes_the_best_reference():
    one = item("rouge", ["the cat sat on the mat", "a dog"])
    scores = score_answer(one, "The cats sat.", declined=False)
    # stemmed: 3 of 3 words in 6, so P = 1, R = 1/2, F = 2/3; bigrams: 2 of 2 in 5; the longest run has 3 words
    assert scores["rouge1"] == pytest.approx(2 / 3)
    assert scores["rouge2"] == pytest.approx(2 * (1 * 0.4) / 1.4)
    assert scores["own"] == scores["right"] == scores["rougeL"] == pytest.approx(2 / 3)
    assert score_answer(one, "a dog", declined=False)["own"] == 1.0
    assert wrong_answer(one)["right"] == 0.0


def test_f1_and_exact_match_as_rules():
    assert score_answer(item("f1", ["blue lantern"]), "a blue house", declined=False)["right"] == 0.5
    scores = score_answer(item("em", ["blue lantern"]), "the blue lantern there", declined=False)
    assert (scores["own"], scores["right"]) == (0.0, 1.0)
