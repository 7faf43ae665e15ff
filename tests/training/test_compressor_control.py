"""A training by reward and its control: the same start, seed and steps, the compressor frozen."""

import json

import pytest
import torch
from compressor_training import base, never, silent

from rereader.models.memory_file import load_tensors
from rereader.models.memory_tokens import MemoryTokens
from rereader.schema import InputError, Interrupted
from rereader.training.compressor_control import (
    CONTROL,
    comparable_rewards,
    control_settings,
    has_control,
    paired,
    train_with_control,
)
from rereader.training.compressor_evaluation import mean_and_error
from rereader.training.compressor_facts import FactTask
from rereader.training.compressor_joint import rewards_in, train_jointly
from rereader.training.compressor_log import TrainingLog
from rereader.training.compressor_settings import JointSettings, make_settings

TASK = FactTask(1, 0, 1, ("a",), tuple("abcdefghijklmnopqrstuvwxyz"))


def settings(steps=3, **changes):
    schedule = {"steps": steps, "learning_rate": 2e-2, "warm_up": 1}
    small = {"questions": 1, "group": 64, "ratios": (2,), "reply_tokens": 1, "reader_rank": 4}
    return make_settings(JointSettings, {"model": "tiny", "schedule": schedule, **small, **changes})


def rows_in(folder, kind="step"):
    return [row for row in TrainingLog(folder / "log.jsonl").rows() if row["kind"] == kind]


def test_the_control_has_the_same_start_and_questions_and_leaves_the_compressor(tmp_path):
    model, out = base(chat=False), tmp_path / "out"
    found, _ = train_with_control(model, settings(), out, silent, never, resume=False, task=TASK)
    trained, frozen = rows_in(out), rows_in(out / CONTROL)
    assert [row["step"] for row in trained] == [row["step"] for row in frozen] == [0, 1, 2]
    assert trained[0]["reward"] == frozen[0]["reward"], "before the first step both are the same"
    assert all(row["compressor_norm"] == 0 for row in frozen) and any(row["compressor_norm"] > 0 for row in trained)
    assert any(row["reader_norm"] > 0 for row in frozen)
    fresh = MemoryTokens(model.model, end=model.end).state_dict()
    mine, theirs = (load_tensors(place)[0] for place in (out, out / CONTROL))
    assert all(torch.equal(theirs[name], one) for name, one in fresh.items())
    assert not all(torch.equal(mine[name], one) for name, one in fresh.items())
    assert found.rewards == rewards_in(out) and found.control == rewards_in(out / CONTROL)
    (row,) = rows_in(out, "control")
    assert tuple(row["more"]) == found.more and tuple(row["last"]) == found.control.last


def test_alone_a_training_does_the_same_as_with_a_control(tmp_path):
    train_with_control(base(chat=False), settings(), tmp_path / "both", silent, never, resume=False, task=TASK)
    train_jointly(base(chat=False), settings(), tmp_path / "one", silent, never, resume=False, task=TASK)
    one, other = (load_tensors(tmp_path / name)[0] for name in ("one", "both"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("taken", [1, 2, 4, 5], ids=["in the training", "later", "in the control", "later there"])
def test_stopped_anywhere_it_goes_on_as_if_it_had_not_been(tmp_path, taken):
    steps = settings(3, group=16)
    whole, _ = train_with_control(base(chat=False), steps, tmp_path / "whole", silent, never, resume=False, task=TASK)
    asked = iter(range(1, 100))
    out = tmp_path / "parts"

    def stop():
        return next(asked) == taken

    with pytest.raises(Interrupted) as stopped:
        train_with_control(base(chat=False), steps, out, silent, stop, resume=False, task=TASK)
    assert stopped.value.hint == f"Go on with --resume --out {out}.", "also where the control was stopped"
    assert has_control(out)
    found, _ = train_with_control(base(chat=False), steps, out, silent, never, resume=True, task=TASK)
    assert found == whole
    with pytest.raises(InputError, match="is finished"):
        train_with_control(base(chat=False), steps, out, silent, never, resume=True, task=TASK)
    assert len(rows_in(out, "control")) == 1


def test_the_steps_of_the_last_tenth_are_compared_in_pairs():
    rewards = [(0.0, 0.0)] * 27 + [(0.5, 0.25), (0.9, 0.3), (0.1, 0.2)]
    mine, theirs = (
        [{"kind": "begin"}, *({"kind": "step", "step": n, "reward": pair[side]} for n, pair in enumerate(rewards))]
        for side in (0, 1)
    )
    assert paired(mine, theirs) == pytest.approx(mean_and_error([0.25, 0.6, -0.1]))
    assert paired(mine[:2], theirs) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen": True}, "a control itself"),
        ({"reader_rank": 0}, "nothing to train"),
        ({"schedule": {"minutes": 1}}, "not take the same steps"),
    ],
)
def test_what_can_have_no_control(changes, message):
    with pytest.raises(InputError, match=message):
        control_settings(settings(**changes))


def test_only_trainings_that_differ_in_nothing_else_are_compared(tmp_path):
    made = settings(2, group=4)
    frozen = made.model_copy(update={"frozen": True})
    train_jointly(base(chat=False), frozen, tmp_path, silent, never, resume=False, task=TASK)
    assert comparable_rewards(tmp_path, made) == rewards_in(tmp_path)
    for changes, name in (({"seed": 1}, "seed"), ({"ratios": (4,)}, "ratios"), ({"hops": 2}, "hops")):
        with pytest.raises(InputError, match=f"another {name}"):
            comparable_rewards(tmp_path, settings(2, group=4, **changes))
    assert json.loads((tmp_path / "settings.json").read_text())["frozen"] is True
