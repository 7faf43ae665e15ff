"""Texts on one line of a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.cli.console import shortened


@pytest.mark.parametrize(
    ("text", "told"),
    [("", ""), ("four", "four"), ("fives", "fives"), ("sixsix", "sixsi…"), ("a \n\t b", "a b"), (" \n", "")],
)
def test_a_text_is_cut_to_a_line(text, told):
    assert shortened(text, 5) == told


@given(st.text(), st.integers(0, 50))
def test_a_line_is_never_longer_than_asked_and_says_when_it_was_cut(text, most):
    line = shortened(text, most)
    whole = " ".join(text.split())
    assert line == whole if len(whole) <= most else line == whole[:most] + "…"
    assert not set("\n\t\r") & set(line)
