"""Word-level differences lose nothing of either text, and say what a reader would say."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rereader.tools.word_diff import Stretch, marked, word_diff

WORDS = st.lists(st.sampled_from(["the", "ferry", "5265", "don't", "43,000", "海", "é", " ", "\n", "  ", ",", "\t"]))
TEXTS = WORDS.map("".join) | st.text(max_size=60)


def joined(diff, *kinds):
    return "".join(stretch.text for stretch in diff if stretch.kind in kinds)


@given(TEXTS, TEXTS)
def test_both_texts_can_be_put_together_again(old, new):
    diff = word_diff(old, new)
    assert joined(diff, "kept", "removed") == old
    assert joined(diff, "kept", "added") == new


@given(TEXTS, TEXTS)
def test_neighbours_differ_in_kind_and_none_is_empty(old, new):
    diff = word_diff(old, new)
    assert all(stretch.text for stretch in diff)
    kinds = [stretch.kind for stretch in diff]
    assert all(one != other and (one, other) != ("added", "removed") for one, other in pairwise(kinds))


@given(TEXTS)
def test_a_text_against_itself_and_against_nothing(text):
    assert word_diff(text, text) == ((Stretch("kept", text),) if text else ())
    assert word_diff("", text) == ((Stretch("added", text),) if text else ())
    assert word_diff(text, "") == ((Stretch("removed", text),) if text else ())


def test_a_changed_word_is_one_change_and_its_letters_are_not_mixed():
    diff = word_diff("The ferry leaves at nine.", "The ferry leaves at noon.")
    assert [(stretch.kind, stretch.text) for stretch in diff] == [
        ("kept", "The ferry leaves at "),
        ("removed", "nine"),
        ("added", "noon"),
        ("kept", "."),
    ]
    assert marked(diff) == "The ferry leaves at [-nine-]{+noon+}."


def test_neighbouring_changed_words_are_one_change():
    assert marked(word_diff("It was an old barge.", "It was a new barge.")) == "It was [-an old-]{+a new+} barge."


def test_numbers_and_words_with_apostrophes_are_whole():
    assert marked(word_diff("43,000 don't", "43,100 don't")) == "[-43,000-]{+43,100+} don't"


def test_marks_of_braces_stand_as_they_are():
    assert marked(word_diff("a {x}", "a {y}")) == "a {[-x-]{+y+}}"


def test_long_texts_take_no_age():
    words = [f"word{i % 700} the" for i in range(1_500)]
    other = [*words[:400], *reversed(words[400:1_000]), *words[1_000:]]
    began = time.monotonic()
    diff = word_diff(" ".join(words), " ".join(other))
    assert joined(diff, "kept", "added") == " ".join(other)
    assert time.monotonic() - began < 10
