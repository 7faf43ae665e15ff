import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.evals.intervals import auroc, mean_interval, paired_difference


def test_interval_holds_the_mean_and_narrows_with_n() -> None:
    rng = random.Random(5)
    values = [float(rng.random() < 0.7) for _ in range(400)]
    few, many = mean_interval(values[:40]), mean_interval(values)
    assert few is not None and many is not None
    assert many.mean == pytest.approx(sum(values) / 400)
    assert many.low <= many.mean <= many.high
    assert many.high - many.low < few.high - few.low
    assert many.high - many.low == pytest.approx(2 * 1.96 * (many.mean * (1 - many.mean) / 400) ** 0.5, rel=0.25)


def test_interval_of_nothing_and_of_equal_values() -> None:
    assert mean_interval([]) is None
    equal = mean_interval([1.0, 1.0])
    assert equal is not None
    assert (equal.mean, equal.low, equal.high, equal.n) == (1.0, 1.0, 1.0, 2)


def test_interval_is_repeatable() -> None:
    values = [0.0, 1.0, 1.0, 0.5]
    assert mean_interval(values) == mean_interval(values)


def test_pairing_sees_a_difference_that_single_intervals_hide() -> None:
    rng = random.Random(5)
    difficulty = [rng.gauss(0, 10) for _ in range(100)]
    better = [value + 1 + rng.gauss(0, 0.5) for value in difficulty]
    difference = paired_difference(better, difficulty)
    apart = mean_interval(better), mean_interval(difficulty)
    assert difference is not None and apart[0] is not None and apart[1] is not None
    assert difference.excludes_zero
    assert apart[0].low < apart[1].high
    nothing = paired_difference(difficulty, difficulty)
    assert nothing is not None and not nothing.excludes_zero


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired_difference([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("scores", "positive", "area"),
    [
        ([0.9, 0.1], [True, False], 1.0),
        ([0.1, 0.9], [True, False], 0.0),
        ([0.5, 0.5], [True, False], 0.5),
        ([0.8, 0.4, 0.6, 0.4], [True, True, False, False], 0.625),
        ([0.5], [True], None),
        ([], [], None),
    ],
)
def test_auroc(scores: list[float], positive: list[bool], area: float | None) -> None:
    assert auroc(scores, positive) == area


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_auroc_counts_pairs(drawn: list[tuple[int, bool]]) -> None:
    above = [score for score, positive in drawn if positive]
    below = [score for score, positive in drawn if not positive]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in above for b in below]
    expected = sum(wins) / len(wins) if wins else None
    assert auroc([score for score, _ in drawn], [positive for _, positive in drawn]) == pytest.approx(expected)
