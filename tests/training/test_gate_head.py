"""Training the head: it learns, its thresholds keep what they promise, and the same seed gives the same head."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from gate_heads import made_up_cases
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.gatehead import PROBES
from rereader.models.hashing import HashingEmbedder
from rereader.schema import InputError, Interrupted
from rereader.training.gate_calibration import calibrate, curve, metrics, platt
from rereader.training.gate_head import HeadSettings, fold_of, train_head

QUICK = HeadSettings(folds=3, epochs=12, batch=64)


@pytest.fixture(scope="module")
def probes():
    return HashingEmbedder().embed(list(PROBES))


@pytest.fixture(scope="module")
def trained(probes):
    cases = made_up_cases()
    head, held = train_head(cases, QUICK, probes)
    return cases, head, held


def test_it_learns_what_tells_memories_apart(trained):
    cases, head, held = trained
    found = metrics(cases, held, head.calibration)["all"]
    assert found["auroc"] > 0.9 and found["loss"] < 0.25
    assert found["wanted"] == sum(2 - case.hops for case in cases)


def test_questions_that_were_never_seen_are_told_apart_too(trained):
    _, head, _ = trained
    fresh = made_up_cases(40, seed=9)
    raw = [head.raw(case.features) for case in fresh]
    assert metrics(fresh, raw, head.calibration)["all"]["auroc"] > 0.9


def test_the_same_seed_gives_the_same_head(trained, probes):
    cases, head, held = trained
    again, raw = train_head(cases, QUICK, probes)
    assert all(np.array_equal(one, two) for one, two in zip(held, raw, strict=True))
    assert np.array_equal(head.inner, again.inner) and head.calibration == again.calibration
    other, _ = train_head(cases, HeadSettings(folds=3, epochs=12, batch=64, seed=1), probes)
    assert not np.array_equal(head.inner, other.inner)


def test_scores_that_calibrate_come_from_networks_that_did_not_see_the_question(trained):
    cases, head, held = trained
    folds = [fold_of(case.question, QUICK.folds, QUICK.seed) for case in cases]
    assert set(folds) == set(range(QUICK.folds))
    for case, fold, raw in zip(cases[:6], folds, held, strict=False):
        rows = np.clip((case.features - head.mean) / head.scale, -8, 8)
        hidden = np.maximum(rows @ head.inner[fold] + head.inner_bias[fold], 0)
        np.testing.assert_allclose(hidden @ head.outer[fold] + head.outer_bias[fold], raw, atol=1e-4)


def test_thresholds_let_the_wanted_share_pass(trained):
    cases, head, held = trained
    wanted = np.concatenate(
        [head.calibration.log_odds(raw)[case.labels] for case, raw in zip(cases, held, strict=True)]
    )
    for recall, threshold in head.calibration.thresholds.items():
        assert (wanted >= threshold).mean() >= float(recall)
    values = [head.calibration.thresholds[name] for name in ("0.90", "0.95", "0.98")]
    assert values == sorted(values, reverse=True)


def test_the_curve_gives_up_precision_for_recall(trained):
    cases, head, held = trained
    rows = curve(cases, held, head.calibration)
    assert [row["recall"] for row in rows] == sorted(row["recall"] for row in rows)
    assert [row["pass_rate"] for row in rows] == sorted(row["pass_rate"] for row in rows)
    assert rows[0]["precision"] > rows[-1]["precision"] and rows[-1]["recall"] == 1.0


def test_memories_that_stand_for_several_count_as_many(trained):
    cases, head, held = trained
    heavy = [replace(case, weights=np.where(case.labels, 1.0, 5.0).astype(np.float32)) for case in cases]
    light, weighed = (curve(given, held, head.calibration)[7] for given in (cases, heavy))
    assert weighed["recall"] == light["recall"] and weighed["precision"] < light["precision"]


@given(st.floats(0.2, 5.0), st.floats(-3.0, 3.0), st.integers(0, 100))
def test_platt_finds_slope_and_offset(slope, offset, seed):
    scores = np.linspace(-4, 4, 400)
    chance = 1 / (1 + np.exp(-(slope * scores + offset)))
    both = np.concatenate([scores, scores])
    labels = np.arange(800) < 400
    found = platt(both, labels, np.concatenate([chance, 1 - chance]))
    assert found == pytest.approx((slope, offset), rel=1e-3, abs=1e-3)


def test_scores_that_tell_nothing_cannot_be_calibrated():
    cases = made_up_cases(4)
    upside_down = [-case.labels.astype(np.float32) + 0.1 * case.features[:, 3] for case in cases]
    with pytest.raises(InputError, match="no better than chance"):
        calibrate(cases, upside_down)


def test_the_margin_is_how_far_wanted_memories_move():
    before = [case for case in made_up_cases(6) if not case.known]
    after = [replace(case, known=("something",), hops=1) for case in before]
    raw = [case.labels * 2.0 + case.features[:, 0] * 0.2 for case in before]
    still, moved = (calibrate([*before, *after], [*raw, *(one + step for one in raw)]) for step in (0.0, 1.0))
    assert still.margin == 0.0 and moved.margin == pytest.approx(moved.slope)
    backwards = calibrate([*after, *before], [*(one + 1.0 for one in raw), *raw])
    assert backwards.margin == pytest.approx(moved.margin)


def test_without_a_memory_that_could_move_there_is_no_margin():
    cases = [case for case in made_up_cases(6) if not case.known]
    with pytest.raises(InputError, match="too few cases"):
        calibrate(cases, [case.labels * 2.0 + case.features[:, 0] * 0.2 for case in cases])


def test_too_few_questions_are_refused(probes):
    with pytest.raises(InputError, match="too few questions"):
        train_head(made_up_cases(2), QUICK, probes)


def test_it_can_be_stopped_and_says_how_far_it_is(probes):
    cancel, told = threading.Event(), []

    def tell(done, total):
        told.append((done, total))
        if len(told) == 4:
            cancel.set()

    with pytest.raises(Interrupted):
        train_head(made_up_cases(12), QUICK, probes, tell, cancel)
    assert told == [(done, 36) for done in range(4)]
