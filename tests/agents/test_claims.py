from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.claims import claims_of
from rereader.schema import Record, RecordKind

BEES = "Old Marta kept nine hives of bees behind the mill."
MILL = "The mill was sold in 1892 to a banker named Corvin."
RIVER = "The river froze early that winter."


def records(*texts):
    return [
        Record.create(run_id="r", kind=RecordKind.QUOTE, content=text, agent="a", ordinal=i)
        for i, text in enumerate(texts)
    ]


EVIDENCE = records(BEES, MILL, RIVER)


@pytest.mark.parametrize(
    ("text", "cited", "expected"),
    [
        ("Marta kept the bees. The mill was sold in 1892.", [0, 1], [(0,), (1,)]),
        ("Marta kept the bees. The mill was sold in 1892.", [0], [(0,), (1,)]),  # found among the rest
        ("Marta kept the bees. Whales sing at night.", [0], [(0,), ()]),
        ("- Marta kept nine hives\n- the mill was sold to Corvin", [], [(0,), (1,)]),
        ("The mill was sold in 1893. The river froze.", [2], [(1,), (2,)]),
        ("Yes.", [], [()]),
        ("Bees.", [0], [(0,)]),
        ("  Marta kept bees.  The river froze early. ", [], [(0,), (2,)]),
    ],
)
def test_each_sentence_rests_on_the_quotes_that_carry_it(text, cited, expected):
    claims = claims_of(text, [EVIDENCE[i] for i in cited], EVIDENCE)
    assert [claim.evidence for claim in claims] == expected


@given(
    st.lists(st.sampled_from(["Marta kept bees", ". ", "! ", "\n", " ", "The river", "- ", "。"]), max_size=12).map(
        "".join
    )
)
def test_claims_are_slices_in_order_that_leave_out_only_white_space(text):
    claims = claims_of(text, EVIDENCE[:1], EVIDENCE)
    assert all(text[claim.start : claim.end] == claim.text == claim.text.strip() for claim in claims)
    assert "".join("".join(claim.text.split()) for claim in claims) == "".join(text.split())
    assert all(one.end <= two.start for one, two in pairwise(claims))


def test_a_single_sentence_keeps_what_the_answer_cites():
    [claim] = claims_of("Something else altogether.", EVIDENCE[1:], EVIDENCE)
    assert claim.evidence == (1, 2)
