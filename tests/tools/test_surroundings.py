from hypothesis import given
from hypothesis import strategies as st

from rereader.tools.surroundings import surroundings

TEXTS = st.lists(
    st.sampled_from(["It rained. ", "Who? ", "\n\n", "a", "B ", ". ", "是的。", "x" * 300]), max_size=15
).map("".join)


def test_the_sentence_before_and_after():
    around = surroundings("One came. Two left. ", "Three stayed.", " Four slept. Five woke.")
    assert (around.before, around.after) == ("Two left.", "Four slept.")


def test_the_rest_of_the_quotes_own_sentence():
    around = surroundings("One came. Then the ", "keeper of the bees", " went home. Night fell.")
    assert (around.before, around.after) == ("Then the", "went home.")


def test_at_the_ends_of_a_document():
    assert surroundings("", "One came.", "") == surroundings("", "x", "")
    assert surroundings("\n\n", "One came.", " \n").before == ""


def test_long_sentences_are_shortened_on_the_far_side():
    around = surroundings("far " + "near " * 200, "here", " near" * 200 + " far")
    assert around.before.startswith("…near near") and around.before.endswith("near")
    assert around.after.startswith("near near") and around.after.endswith("near…")
    unspaced = surroundings("远" * 500, "here", "近" * 500)
    assert len(unspaced.before) == len(unspaced.after) == 241


@given(TEXTS, TEXTS.filter(str.strip), TEXTS)
def test_what_is_shown_stands_next_to_the_quote(earlier, quote, later):
    around = surroundings(earlier, quote, later)
    assert (around.earlier, around.later) == (earlier, later)
    assert "".join(earlier.split()).endswith("".join(around.before.lstrip("…").split()))
    assert "".join(later.split()).startswith("".join(around.after.removesuffix("…").split()))
    assert bool(around.before) == bool(earlier.strip()) and bool(around.after) == bool(later.strip())
