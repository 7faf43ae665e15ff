# ruff: noqa: RUF001 - typographic characters are what is tested
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.tools.words import STOP_WORDS, content_words, count_words, raw_words, word_limit, words

PROSE = st.text(st.sampled_from("ab Zé'’.,-12\n你नमे"), max_size=80)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t stop, O'Neill!", ["don't", "stop", "o'neill"]),
        ("paid 43,000 rubles (3.14)", ["paid", "43,000", "rubles", "3.14"]),
        ("'quoted' rock-n-roll", ["quoted", "rock", "n", "roll"]),
        ("你好 x_y", ["你", "好", "x", "y"]),
        ("नमस्ते e\u0301tude", ["नमस्ते", "e\u0301tude"]),
        ("10,000th 1,2", ["10,000th", "1,2"]),
        ("— … !", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_content_words_leave_stop_words_out():
    assert content_words("The cat is on the Mat and don’t move the cat") == ["cat", "mat", "move", "cat"]
    assert all(word == word.lower() for word in STOP_WORDS)


@settings(deadline=None)
@given(PROSE)
def test_counts_agree(text):
    assert count_words(text) == len(raw_words(text)) == len(words(text))


@settings(deadline=None)
@given(PROSE, st.integers(-2, 12))
def test_word_limit_is_a_prefix_with_as_many_words_as_allowed(text, n):
    limited = word_limit(text, n)
    assert text.startswith(limited)
    assert count_words(limited) == min(count_words(text), max(n, 0))
    if n > 0 and count_words(text) <= n:
        assert limited == text


def test_hostile_runs_are_linear():
    for text in ("a'" * 200_000, "1," * 200_000, "'" * 200_000, "ab" * 200_000 + "é"):
        words(text)
