"""Training of adapters on a tiny model with random weights: small, but whole."""

import threading

import numpy as np
import pytest
from gate_heads import made_up_cases

from rereader.models.gatelora import open_lora, save_lora
from rereader.models.local import LocalModel
from rereader.models.tiny import tiny_model
from rereader.schema import InputError, Interrupted
from rereader.training.gate_calibration import calibrate, metrics
from rereader.training.gate_lora import LoraSettings, score, thinned, train_lora

QUICK = LoraSettings(rank=4, steps=30, cases=3, others=2, rate=1e-2, checked=8, beside=6)


@pytest.fixture(scope="module")
def run():
    return train_lora(*tiny_model("llama", 0), made_up_cases(40, memories=8), QUICK)


def test_the_loss_falls(run):
    first, last = np.mean(run.losses[:5]), np.mean(run.losses[-5:])
    assert len(run.losses) == 30 and run.losses[0] == pytest.approx(np.log(2), abs=1e-5)
    assert last < 0.5 * first


def test_questions_that_were_held_back_are_told_apart(run):
    assert len(run.checked) == len(run.raw) >= 8
    found = metrics(run.checked, run.raw, calibrate(run.checked, run.raw))["all"]
    assert found["auroc"] > 0.9


def test_saved_and_opened_it_scores_the_same(run, tmp_path):
    calibration = calibrate(run.checked, run.raw)
    save_lora(tmp_path / "gate", run.reader, calibration, {"scorer": "tiny"})
    scorer = LocalModel(*tiny_model("llama", 0), name="tiny")
    gate = open_lora(tmp_path / "gate", scorer)
    for case, raw in zip(run.checked, run.raw, strict=True):
        np.testing.assert_allclose(score(gate._reader, case), raw, atol=1e-4)
    assert gate.calibration == calibration
    scorer.close()


def test_the_same_seed_trains_the_same():
    cases = made_up_cases(20, memories=6)
    brief = LoraSettings(rank=2, steps=4, cases=2, others=1, checked=3)
    one, two = (train_lora(*tiny_model("llama", 0), cases, brief) for _ in range(2))
    assert one.losses == two.losses and all(np.array_equal(a, b) for a, b in zip(one.raw, two.raw, strict=True))
    other = train_lora(*tiny_model("llama", 0), cases, LoraSettings(rank=2, steps=4, cases=2, others=1, seed=1))
    assert other.losses != one.losses


def test_it_can_be_stopped_and_says_how_far_it_is():
    cancel, told = threading.Event(), []

    def tell(done, total):
        told.append((done, total))
        if done == 2:
            cancel.set()

    with pytest.raises(Interrupted):
        train_lora(*tiny_model("llama", 0), made_up_cases(20, memories=6), QUICK, tell, cancel)
    assert told == [(0, 30), (1, 30), (2, 30)]


def test_memories_that_are_left_out_are_stood_for():
    from random import Random

    case, *_ = made_up_cases(1, memories=20)
    few = thinned(case, 5, Random(0))
    assert few.labels.sum() == case.labels.sum() and len(few.memories) == 7 == len(few.features)
    assert few.weights[~few.labels].sum() == pytest.approx(case.weights[~case.labels].sum())
    assert few.weights[few.labels].tolist() == case.weights[case.labels].tolist()
    assert all(memory.startswith("wanted") == label for memory, label in zip(few.memories, few.labels, strict=True))
    assert len(thinned(case, 99, Random(0)).memories) == 20


def test_questions_are_checked_with_all_their_cases(run):
    """What the margin compares, nothing known and something known, must come of the same question."""
    known = {case.question for case in run.checked if case.known}
    unknown = {case.question for case in run.checked if not case.known}
    assert known and known <= unknown


def test_too_few_questions_are_refused():
    with pytest.raises(InputError, match="too few questions"):
        train_lora(*tiny_model("llama", 0), made_up_cases(1), QUICK)
