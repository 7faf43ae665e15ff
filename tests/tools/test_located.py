"""Slices of a text are found again in prompts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rereader.testing.texts import essay
from rereader.tools.located import LEAST, located

TEXT = "".join(essay(7, 200)) + "Zymurgy, quixotic and jovial, closes it: æøå 日本語."


@given(st.integers(0, len(TEXT)), st.integers(0, 3_000), st.text(max_size=60), st.text(max_size=60))
def test_a_slice_is_found_whatever_stands_around_it(start, length, before, after):
    piece = TEXT[start : start + length]
    prompt = before + piece + after
    found = located(prompt, TEXT)
    for one in found:
        assert prompt[one.start : one.end] == TEXT[one.at : one.at + one.end - one.start]
        assert one.end - one.start >= LEAST
    assert all(one.end <= other.start for one, other in pairwise(found))
    if len(piece) >= 2 * LEAST:
        assert any(one.start <= len(before) and len(before) + len(piece) <= one.end for one in found)


def test_several_slices_are_found_in_the_order_of_the_prompt():
    prompt = f"First: {TEXT[500:900]}\n---\nSecond: {TEXT[100:300]}\nWhich is older?"
    first, second = located(prompt, TEXT)
    assert (first.at, first.end - first.start) == (500, 400)
    assert (second.at, second.end - second.start) == (100, 200)


def test_a_prompt_without_slices_has_none():
    assert located("Nothing of the kind stands in there, whatever you look for. " * 50, TEXT) == []
    assert located("", TEXT) == located(TEXT, "") == []
