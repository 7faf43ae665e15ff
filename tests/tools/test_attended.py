"""Scores of parts from attention, against the plain sums."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.base import Attention
from rereader.tools.attended import Cue, part_masses


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 30), max_size=6))
def test_without_a_null_question_parts_are_summed(seed, cuts):
    rows = np.random.default_rng(seed).random((3, 30), dtype=np.float32)
    edges = [0, *sorted(cuts), 30]
    parts = list(itertools.pairwise(edges))
    masses = part_masses(rows, parts)
    assert masses.shape == (3, len(parts))
    np.testing.assert_allclose(masses.sum(1), rows.sum(1), rtol=1e-5)
    for place, (start, end) in enumerate(parts):
        np.testing.assert_allclose(masses[:, place], [row[start:end].sum() for row in rows], rtol=1e-5)


def test_an_empty_question_is_subtracted_and_outliers_below_do_not_count():
    rows = np.full((1, 20), 0.02, dtype=np.float32)
    null = np.full((1, 20), 0.01, dtype=np.float32)
    null[0, 3] = 0.5  # everything looks at the third token, whatever is asked
    assert np.isclose(part_masses(rows, [(0, 20)], null)[0, 0], 19 * 0.01)
    assert part_masses(rows, [(4, 4)], null)[0, 0] == 0


def test_cues_are_the_question_or_the_last_tokens():
    by_query = np.random.default_rng(3).random((6, 10), dtype=np.float32)
    by_query /= by_query.sum(1, keepdims=True)
    found = Attention(
        by_query, by_query[:1], np.zeros((1, 6), np.int64), ((0, 4), (4, 7), (7, 10)), tuple(range(10)), 10
    )
    np.testing.assert_allclose(Cue().of(found, [(4, 6), (8, 9)]), by_query[[0, 1, 4]].mean(0), rtol=1e-6)
    score = np.zeros(10)
    for row in by_query[-2:]:
        score = (row + 0.5 * score) / (row + 0.5 * score).sum()
    np.testing.assert_allclose(Cue(last=2, decay=0.5).of(found, []), score, rtol=1e-5)
    assert Cue().name != Cue(last=2).name != Cue(last=2, decay=0.5).name
