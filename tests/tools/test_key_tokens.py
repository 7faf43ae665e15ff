"""Key tokens by their long-short gap, and the windows of sentences that they are looked up in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rereader.tools.key_tokens import KeyRule, key_tokens, sentence_windows


def losses(count, **at):
    """No gap anywhere but at ``t<place>=(long, short)``."""
    long, short = np.full(count, 1.0, np.float32), np.full(count, 1.0, np.float32)
    for name, (one, other) in at.items():
        long[int(name[1:])], short[int(name[1:])] = one, other
    return long, short


def found(pair, counts=lambda _: True, **rule):
    return key_tokens(*pair, counts, KeyRule(**rule))


def test_a_token_needs_a_gap_a_probability_and_a_meaning():
    pair = losses(6000, t100=(0.1, 2.0), t2500=(3.0, 9.0), t4500=(0.1, 4.0), t5900=(0.1, 3.0))
    assert found(pair) == [4500]
    assert found(losses(6000, t100=(0.1, 2.2), t4500=(0.1, 4.0))) == [100, 4500]
    assert found(pair, lambda token: token != 4500) == [5900]


def test_of_two_close_tokens_the_one_with_the_larger_gap_is_kept():
    assert found(losses(9000, t3000=(0.1, 4.0), t3500=(0.1, 5.0))) == [3500]
    assert found(losses(9000, t2000=(0.1, 4.0), t2100=(0.1, 3.0))) == [2000]  # in two stretches, but too near
    assert found(losses(9000, t2100=(0.1, 4.0), t4000=(0.1, 5.0))) == [4000]  # far enough, but in one stretch
    assert found(losses(9000, t2000=(0.1, 4.0), t2600=(0.1, 3.0))) == [2000, 2600]


def test_only_the_top_share_is_looked_at():
    pair = losses(100, **{f"t{i}": (0.1, 4.0 + i / 100) for i in range(50)})
    rule = {"apart": 1, "stretch": 1}
    assert found(pair, **rule) == [49]
    assert found(pair, **rule, share=0.05) == [45, 46, 47, 48, 49]
    assert found(losses(0)) == []


@given(sizes=st.lists(st.integers(0, 200), max_size=40), most=st.integers(1, 200), stride=st.integers(1, 100))
def test_windows_hold_every_sentence_and_stay_small(sizes, most, stride):
    windows = list(sentence_windows(sizes, most, stride))
    assert {at for start, end in windows for at in range(start, end)} == set(range(len(sizes)))
    starts = [start for start, _ in windows]
    assert starts == sorted(set(starts))
    assert all(end - start == 1 or sum(sizes[start:end]) <= most for start, end in windows)


def test_windows_overlap_by_the_stride():
    assert list(sentence_windows([32] * 6, 128, 64)) == [(0, 4), (2, 6)]
