"""Counts of one and of several, ids that are short enough to read."""

import pytest

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
