"""Counts of one and of several, ids that are short enough to read."""

import pytest

from rereader.schema import Answer, Claim, Evidence, Match
from rereader.schema.findings import Finding, verdict
from rereader.schema.wording import counted, short


@pytest.mark.parametrize(
    ("number", "names", "told"),
    [
        (1, ["document"], "1 document"),
        (0, ["document"], "0 documents"),
        (2000, ["document"], "2,000 documents"),
        (1, ["cached reply", "cached replies"], "1 cached reply"),
        (3, ["cached reply", "cached replies"], "3 cached replies"),
    ],
)
def test_one_is_not_called_several(number, names, told):
    assert counted(number, *names) == told


def test_a_verdict_counts_what_is_wrong():
    bad = ("cut with gaps", "cuts with gaps")
    assert verdict("all whole", bad, [], "Mend.") == [Finding("all whole")]
    assert verdict("", bad, ["a"], "Mend.") == [Finding("1 cut with gaps: a", "problem", "Mend.")]
    assert verdict("", bad, list("abcd"), "Mend.") == [Finding("4 cuts with gaps: a, b, c, ...", "problem", "Mend.")]


def test_the_beginning_of_an_id():
    assert short("0123456789abcdef") == "0123456789ab"


def test_quotes_are_numbered_as_claims_name_them_then_best_first():
    scores = (0.1, None, 0.9, 0.5, 0.9)
    evidence = [
        Evidence(
            document="a", document_id="d", start=0, end=1, quote="x", match=Match.EXACT, verified=True, score=score
        )
        for score in scores
    ]
    claims = [Claim(text="a", start=0, end=1, evidence=(3, 0)), Claim(text="b", start=2, end=3, evidence=(3,))]
    answer = Answer(question="?", answer="a b", claims=claims, evidence=evidence, graph="g", run_id="r")
    assert (answer.cited(), answer.quote_order()) == ([3, 0], [3, 0, 2, 4, 1])
