"""Which sentences are replayed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rereader.tools.replay import leading, plain, published_choice

TEXTS = ["A one.", "B  two.", "C three.", "D four.", "B two."]


def choose(ranked, held=(), count=2, replace=True):
    """The choice where the tokens, by rank, are in these sentences."""
    scores = np.linspace(1, 0, len(ranked), dtype=np.float32)
    return published_choice(scores, ranked, TEXTS, held, count, replace=replace)


def test_wasted_tokens_are_replaced_once():
    assert choose([0, 1, 2, 3]) == [0, 1]
    assert choose([0, 0, 1, 2]) == [0, 1]  # one wasted, one more looked at
    assert choose([0, 0, 0, 1]) == [0]  # its replacement is wasted, and not replaced again
    assert choose([0, 1, 2, 3], held=["A   one.", "B two."]) == [2, 3]
    assert choose([0, 0, 1, 2], replace=False) == [0]


def test_white_space_does_not_tell_sentences_apart():
    assert choose([1, 4, 2]) == [1, 2]
    assert plain(" B\n two. ") == "B two."


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 9))
def test_never_more_than_asked_and_none_twice(ranked, count):
    taken = choose(ranked, held=[TEXTS[3]], count=count)
    assert len(taken) <= count and 3 not in taken
    assert len({plain(TEXTS[place]) for place in taken}) == len(taken)


def test_what_stands_out_is_taken_while_it_fits():
    masses, sizes = [0.1, 1.0, 0.5, 0.04, -1.0], [5, 5, 9, 1, 1]
    assert leading(masses, sizes, held=(), room=100, share=0.05) == [1, 2, 0]
    assert leading(masses, sizes, held=(), room=10, share=0.05) == [1, 0]
    assert leading(masses, sizes, held=(1,), room=100, share=0.2) == [2]
    assert leading(masses, [0] * 5, held=(), room=10, share=0.0) == []  # what has no words is no evidence
    assert leading([], [], held=(), room=10, share=0.5) == []
