"""Claims and what they cite; declining by confidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.evals.citations import score_citations
from rereader.evals.declining import measure_declining
from rereader.schema import Answer, Claim, Evidence, Match

TEXT = "The lantern of Ulpel is blue. The barn is old."


def quote(start, end, verified=True, document="id"):
    return Evidence(
        document="toy",
        document_id=document,
        start=start,
        end=end,
        quote=TEXT[start:end],
        match=Match.EXACT,
        verified=verified,
    )


def answer(*claims, evidence):
    made = [Claim(text=text, start=0, end=len(text), evidence=cited) for text, cited in claims]
    return Answer(question="?", answer="x", claims=made, evidence=evidence, graph="g", run_id="r")


def test_claims_by_what_they_cite():
    found = answer(
        ("The lantern is blue.", (0,)),
        ("The lantern is green.", (0, 1)),
        ("The barn is old.", ()),
        ("The barn is new.", (2,)),
        evidence=[quote(0, 29), quote(30, 46), quote(30, 46, verified=False)],
    )
    scores = score_citations(found, {"id": "key"}, [("key", 5, 20)])
    assert scores["citations"] == 0.5  # the last one's quote is not verified
    assert scores["citation_support"] == pytest.approx((1 + 1 / 2 + 0 + 0) / 4)
    assert scores["citation_gold"] == 0.5
    assert score_citations(found, {"id": "key"}, [])["citation_gold"] is None
    assert score_citations(found, {"other": "key"}, [("key", 5, 20)])["citations"] == 0.0


def test_an_answer_without_claims_has_no_citation_scores():
    assert set(score_citations(answer(evidence=[]), {}, []).values()) == {None}


def test_declining_by_a_threshold():
    sure = [0.2, *([0.9] * 9)]
    found = measure_declining([*sure, 0.1, 0.9, 0.95], [True] * 10 + [False] * 3)
    assert found is not None
    assert found.auroc == pytest.approx((10 + 9 / 2) / 30)
    assert (found.threshold, found.caught) == (0.9, pytest.approx(1 / 3))  # one sure question of ten may be lost
    assert (found.always, found.never, found.questions) == (pytest.approx(3 / 13), pytest.approx(10 / 13), 13)
    assert measure_declining([0.5, 0.6], [True, True]) is None
    assert measure_declining([], []) is None


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9]), st.booleans()), max_size=40))
def test_never_more_than_a_tenth_is_declined_by_mistake(drawn):
    found = measure_declining([one for one, _ in drawn], [known for _, known in drawn])
    if found is not None:
        known = [one for one, answerable in drawn if answerable]
        assert sum(one < found.threshold for one in known) <= 0.1 * len(known)
        assert 0 <= found.caught <= 1
