from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.evals.items import Expects, GoldSpan, Item
from rereader.evals.scoring import (
    character_precision,
    covered,
    evidence_recall,
    first_words,
    merge,
    passage_precision,
    score_answer,
    score_evidence,
    words_shown,
    wrong_answer,
)
from rereader.evals.wordings import contained_share, contains, exact_match, token_f1
from rereader.tools.wording import normalise
from rereader.tools.words import count_words


def item(expects: Expects = "any", answers: tuple[str, ...] = ("blue lantern",), **more: object) -> Item:
    values: dict[str, object] = {"answer_budget": 10, "gold": (("doc", 10, 20),), **more}
    return Item(
        id="x",
        benchmark="toy",
        kind="single",
        question="?",
        answers=answers,
        documents=("doc",),
        expects=expects,
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Blue, lantern!", ["blue", "lantern"]),
        ("Bazd\u00e9ev\u2019s \u201chouse\u201d", ["bazdeev", "house"]),
        ("forty-three thousand\u2014or $43,000.", ["forty", "three", "thousand", "or", "43000"]),
        ("3.5 and 35", ["3.5", "and", "35"]),
        ("the a", ["the", "a"]),
        ("?!", []),
        ("Mr. St. Clair/Boone", ["mr", "st", "clair", "boone"]),
        ("caf\u00e9 = cafe\u0301", ["cafe", "cafe"]),
    ],
)
def test_normalise(text: str, words: list[str]) -> None:
    assert normalise(text) == words


def test_exact_match_needs_the_whole_answer() -> None:
    assert exact_match("the Blue Lantern.", ["red", "blue lantern"])
    assert not exact_match("a blue lantern there", ["blue lantern"])


@pytest.mark.parametrize(
    ("answer", "golds", "score"),
    [
        ("blue lantern", ["a blue lantern"], 1.0),
        ("a blue house", ["blue lantern"], 0.5),
        ("red", ["blue lantern"], 0.0),
        ("red", ["blue", "red"], 1.0),
        ("lantern lantern", ["lantern"], 2 / 3),
        ("no", ["yes"], 0.0),
        ("yes it is", ["yes"], 0.0),
        ("no", ["no entry"], 0.0),
        ("", ["blue"], 0.0),
        ("blue", [], 0.0),
    ],
)
def test_token_f1(answer: str, golds: list[str], score: float) -> None:
    assert token_f1(answer, golds) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("It is the blue lantern, I think.", "a blue lantern", True),
        ("The lantern is blue.", "blue lantern", False),
        ("blue", "blue lantern", False),  # a fragment of the gold answer is not the answer
        ("nothing", "no", False),  # whole words only
        ("5265 crowns", "526", False),
        ("anything", "!", False),  # a gold answer without words is in nothing
        ("one two three four five six seven eight nine ten blue lantern", "blue lantern", False),  # past the budget
    ],
)
def test_contains(answer: str, gold: str, right: bool) -> None:
    assert contains(answer, gold, 10) is right


def test_contained_share_of_all_and_any() -> None:
    assert contained_share("Ann and Bo", ["Ann", "Bo", "Cy", "Di"], 10, "all") == 0.5
    assert contained_share("Ann and Bo", ["Cy", "Bo"], 10, "any") == 1.0
    assert contained_share("Ann", [], 10, "all") == 0.0


def test_merge_joins_overlapping_and_touching_spans() -> None:
    assert merge([("b", 5, 9), ("a", 0, 4), ("a", 3, 6), ("a", 6, 7), ("a", 9, 10), ("a", 1, 2)]) == {
        "a": [(0, 7), (9, 10)],
        "b": [(5, 9)],
    }


SPANS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(0, 20)), max_size=8).map(
    lambda drawn: [(key, start, start + length) for key, start, length in drawn]
)


def characters(spans: list[GoldSpan]) -> set[tuple[str, int]]:
    return {(key, place) for key, start, end in spans for place in range(start, end)}


@settings(deadline=None)
@given(SPANS, SPANS)
def test_spans_agree_with_sets_of_characters(evidence: list[GoldSpan], gold: list[GoldSpan]) -> None:
    shown = characters(evidence)
    for span in gold:
        assert covered(span, merge(evidence)) == len(characters([span]) & shown)
    precision = character_precision(evidence, gold)
    if gold and shown:
        assert precision == pytest.approx(len(shown & characters(gold)) / len(shown))
    else:
        assert precision is None


def test_evidence_recall_needs_half_of_a_gold_span() -> None:
    gold = [("doc", 10, 20), ("doc", 30, 40)]
    assert evidence_recall([("doc", 0, 15)], gold) == 0.5
    assert evidence_recall([("doc", 0, 14)], gold) == 0.0
    assert evidence_recall([("doc", 10, 13), ("doc", 18, 20), ("doc", 25, 50)], gold) == 1.0
    assert evidence_recall([("other", 0, 50)], gold) == 0.0
    assert evidence_recall([], gold) == 0.0
    assert evidence_recall([("doc", 0, 50)], []) is None


def test_precision_by_passage_and_by_character() -> None:
    gold = [("doc", 10, 20)]
    evidence = [("doc", 15, 25), ("doc", 20, 30), ("other", 10, 20)]
    assert passage_precision(evidence, gold) == pytest.approx(1 / 3)
    assert character_precision(evidence, gold) == pytest.approx(5 / 25)
    assert passage_precision([], gold) is None
    assert passage_precision(evidence, []) is None


def test_evidence_past_the_word_limit_does_not_count() -> None:
    text = "one two three four five six"
    whole = [("doc", 0, 7), ("doc", 8, len(text))]
    assert words_shown(whole, {"doc": text}) == 6
    assert first_words(whole, {"doc": text}, 3) == [("doc", 0, 7), ("doc", 8, 13)]
    assert first_words(whole, {"doc": text}, 2) == [("doc", 0, 7)]
    assert first_words(whole, {"doc": text}, 6) == whole
    gold = item(gold=(("doc", 14, 18),))
    assert score_evidence(gold, whole, {"doc": text}, 3)["evidence_recall"] == 0.0
    assert score_evidence(gold, whole, {"doc": text}, 4)["evidence_recall"] == 1.0
    assert score_evidence(gold, whole, {"doc": text}, 3)["evidence_words"] == 6


@settings(deadline=None)
@given(st.text(alphabet="ab \n.'\u00e9", max_size=60), st.data())
def test_first_words_never_shows_more_than_the_limit(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=6)))
    spans = [("doc", start, end) for start, end in pairwise(cuts)]
    limit = data.draw(st.integers(0, 12))
    kept = first_words(spans, {"doc": text}, limit)
    assert words_shown(kept, {"doc": text}) == min(limit, words_shown(spans, {"doc": text}))
    assert all(span[:2] == whole[:2] and span[2] <= whole[2] for span, whole in zip(kept, spans, strict=False))


def test_score_answer_of_an_answerable_question() -> None:
    scores = score_answer(item(), "It was a blue lantern.", declined=False)
    assert (scores["contained"], scores["right"], scores["exact"], scores["declined"]) == (1.0, 1.0, 0.0, 0.0)
    assert scores["decision_right"] == 1.0
    assert scores["answer_words"] == count_words("It was a blue lantern.")


def test_a_declined_answer_contains_nothing() -> None:
    scores = score_answer(item(), "Not stated; perhaps the blue lantern.", declined=True)
    assert (scores["contained"], scores["f1"], scores["right"], scores["decision_right"]) == (0.0, 0.0, 0.0, 0.0)


def test_declining_is_right_where_nothing_is_stated() -> None:
    absent = item("decline", ("not stated",), gold=())
    declined = score_answer(absent, "", declined=True)
    assert (declined["right"], declined["decision_right"], declined["contained"]) == (1.0, 1.0, None)
    answered = score_answer(absent, "It is not stated.", declined=False)
    assert (answered["right"], answered["decision_right"]) == (0.0, 0.0)


def test_all_answers_are_wanted() -> None:
    scores = score_answer(item("all", ("Ann Lee", "Bo")), "Ann Lee, Bo", declined=False)
    assert (scores["right"], scores["f1"], scores["exact"]) == (1.0, 1.0, 1.0)
    assert score_answer(item("all", ("Ann Lee", "Bo")), "Bo", declined=False)["right"] == 0.5


@pytest.mark.parametrize("expects", ["any", "all", "decline"])
def test_a_failed_call_is_wrong(expects: Expects) -> None:
    scores = wrong_answer(item(expects))
    assert (scores["right"], scores["decision_right"], scores["declined"]) == (0.0, 0.0, None)
