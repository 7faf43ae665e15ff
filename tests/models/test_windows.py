from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.windows import cut_windows, ends_sentence


def words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"\w+|[^\w\s]", text)]


@given(st.text(alphabet="ab .!?\n\"'(é漢", max_size=400), st.integers(1, 40))
def test_pieces_partition_the_text_and_keep_the_limit(text: str, limit: int) -> None:
    offsets = words(text)
    pieces = cut_windows(text, offsets, limit)
    assert "".join(text[start:end] for start, end in pieces) == text
    for start, end in pieces:
        assert end > start
        assert sum(start <= a and b <= end for a, b in offsets) <= limit


@pytest.mark.parametrize(
    ("text", "limit", "first"),
    [
        ("a b c d e f g. h i j", 8, "a b c d e f g. "),  # a sentence ends in the last quarter
        ("a. b c d e f g h i j", 8, "a. b c d e f g "),  # too early: the last word border
        ("a b c d e f g\n\nh i j k", 8, "a b c d e f g\n\n"),  # a paragraph ends
        ('a b c d e f" "g h i j', 8, 'a b c d e f" '),  # an opening quote stays with its word
    ],
)
def test_borders(text: str, limit: int, first: str) -> None:
    start, end = cut_windows(text, words(text), limit)[0]
    assert text[start:end] == first


def test_text_without_white_space_is_cut_at_the_limit() -> None:
    text = "x" * 25
    pieces = cut_windows(text, [(i, i + 1) for i in range(25)], 10)
    assert pieces == [(0, 10), (10, 20), (20, 25)]


@pytest.mark.parametrize(
    ("text", "expected"), [("End.", True), ('end?"', True), ("end).", True), ("end,", False), ("", False)]
)
def test_ends_sentence(text: str, expected: bool) -> None:
    assert ends_sentence(text, len(text)) is expected
