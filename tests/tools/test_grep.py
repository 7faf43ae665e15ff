"""Patterns that a model wrote are found, or refused in time."""

import time

import pytest

from rereader.schema import InputError
from rereader.tools.grep import MOST_CHARACTERS, grep

TEXT = "The mill was sold in 1871.\nThe MILL burnt down in 1902. Ünïcode 日本 1999."


def test_matches_are_told_as_places_up_to_a_number():
    assert [TEXT[start:end] for start, end in grep("mill", TEXT, 5)] == ["mill", "MILL"]
    assert [TEXT[start:end] for start, end in grep(r"\b(18|19)\d\d\b", TEXT, 2)] == ["1871", "1902"]
    assert [TEXT[start:end] for start, end in grep("日本", TEXT, 5)] == ["日本"]
    assert grep("barge", TEXT, 5) == []


@pytest.mark.parametrize("pattern", ["(", "[a", "a{99999999999}", "*", "(?P<a"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(InputError, match="cannot be used"):
        grep(pattern, TEXT, 5)


def test_a_pattern_that_never_ends_is_ended():
    started = time.monotonic()
    with pytest.raises(InputError, match="takes too long"):
        grep("(a+)+$", "a" * 100 + "b", 5, seconds=1.0)
    assert time.monotonic() - started < 10


def test_a_long_pattern_is_refused():
    with pytest.raises(InputError, match="at most"):
        grep("a" * (MOST_CHARACTERS + 1), TEXT, 5)
