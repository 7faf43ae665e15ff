import pytest

from rereader.schema import Answer, Claim, Evidence, Match
from rereader.wording import plural


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (plural(0, "call"), "0 calls"),
        (plural(1, "call"), "1 call"),
        (plural(2_000, "call"), "2,000 calls"),
        (plural(1, "entry", "entries"), "1 entry"),
        (plural(2, "entry", "entries"), "2 entries"),
    ],
)
def test_one_is_one(said, expected):
    assert said == expected


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
