"""Training by reward: advantages, gradients through stored keys and values, and a toy that a tiny model learns."""

import json
from random import Random

import pytest
import torch
from compressor_training import base, ids, never, passes, silent

from rereader.models.memory_file import CompressorManifest, base_identity, load_tensors, save_tokens
from rereader.models.memory_tokens import MemoryTokens, Projections
from rereader.schema import InputError, Interrupted
from rereader.training.compressor_facts import FactQuestion, FactTask
from rereader.training.compressor_joint import Rewards, rewards_in, rewards_of, train_jointly
from rereader.training.compressor_log import TrainingLog
from rereader.training.compressor_policy import Group, policy_loss, reply_log_probabilities, sample
from rereader.training.compressor_settings import JointSettings, make_settings

TOY = FactTask(facts=1, filler=0, hops=1, names=("a",), values=("b",))


def settings(steps, **changes):
    schedule = {"steps": steps, "learning_rate": 2e-2, "warm_up": 3}
    small = {"questions": 2, "group": 16, "ratios": (2,), "reply_tokens": 1, "reader_rank": 0}
    return make_settings(JointSettings, {"model": "tiny", "schedule": schedule, **small, **changes})


def steps_in(folder):
    return [row for row in TrainingLog(folder / "log.jsonl").rows() if row["kind"] == "step"]


def test_advantages_are_relative_to_the_group():
    run, _ = passes()
    group = Group(run.begin(ids(2)), ids(2), ((1,), (1,), (2, 3), (4,)), (1.0, 1.0, 0.0, 0.0))
    assert group.advantages == {(1,): 1.0, (2, 3): -0.5, (4,): -0.5}
    assert group.tokens == 5


def test_a_group_of_equal_rewards_teaches_nothing():
    run, _ = passes()
    groups = [Group(run.begin(ids(2)), ids(2), ((1,), (2,)), (reward, reward)) for reward in (0.0, 1.0)]
    assert policy_loss(run, groups, None) is None


def test_log_probabilities_are_those_of_plain_reading():
    run, _ = passes()
    start, prompt, replies = ids(4), ids(3, seed=1), [(5, 6, 7), (8,)]
    found = reply_log_probabilities(run, run.begin(start), prompt, replies, None)
    for value, reply in zip(found.tolist(), replies, strict=True):
        whole = torch.cat((start, prompt, torch.tensor([reply])), 1)
        logits = run.model(whole).logits[0].detach().log_softmax(-1)
        expected = sum(float(logits[6 + place, token]) for place, token in enumerate(reply))
        assert value == pytest.approx(expected, abs=1e-4)


def test_loss_weighs_replies_by_their_advantage():
    run, _ = passes()
    group = Group(run.begin(ids(4)), ids(3, seed=1), ((5, 6), (8,), (8,)), (1.0, 0.0, 0.0))
    first, second = reply_log_probabilities(run, group.past, group.prompt, [(5, 6), (8,)], None).tolist()
    found = policy_loss(run, [group], None)
    assert found is not None
    assert float(found) == pytest.approx(-(2 / 3 * first - 2 / 3 * second) / 4, abs=1e-5)


def test_gradients_go_through_stored_states_into_the_compressor():
    run, tokens = passes()
    reader = Projections(run.model, 4)
    past = run.compress(run.begin(ids(3)), ids(8, seed=1), tokens, 8, 2)
    loss = policy_loss(run, [Group(past, ids(3, seed=2), ((5,), (6,)), (1.0, 0.0))], reader)
    assert loss is not None
    loss.backward()
    for name in ("k", "v"):
        assert all(bool(layer[name].weight.grad.any()) for layer in tokens.layers)
    assert bool(tokens.embedding.grad.any())
    assert all(bool(layer["v"].up.grad.any()) for layer in reader.layers)
    assert all(one.grad is None for one in run.model.parameters())


def test_samples_repeat_and_end():
    run, _ = passes()

    def draw(seed, ends=frozenset(), temperature=1.0):
        draws = torch.Generator().manual_seed(seed)
        return sample(run, run.begin(ids(4)), ids(3), None, 4, 5, ends, draws, temperature)

    assert draw(0) == draw(0) != draw(1)
    assert {len(reply) for reply in draw(0)} == {5}
    greedy = draw(0, temperature=0.0)
    assert len(set(greedy)) == 1
    ended = draw(0, frozenset(greedy[0][:1]), temperature=0.0)
    assert ended == [greedy[0][:1]] * 4


def test_samples_follow_the_models_odds():
    run, _ = passes()
    start, prompt = run.begin(ids(4)), ids(3)
    odds = run.logits(run.read(start, prompt)[:, -1]).detach().softmax(-1)[0]
    drawn = sample(run, start, prompt, None, 4000, 1, frozenset(), torch.Generator().manual_seed(0))
    best = int(odds.argmax())
    share = sum(reply == (best,) for reply in drawn) / 4000
    assert share == pytest.approx(float(odds[best]), abs=0.03)


@pytest.mark.parametrize(
    ("reply", "reward"), [(" blue", 1), ("Blue.", 1), ("red", 0), ("", 0), ("a blue box", 0), (" blue box", 1)]
)
def test_reward(reply, reward):
    assert FactQuestion("", "", "", "blue").reward(reply) == reward


@pytest.mark.parametrize("hops", [1, 2])
def test_the_text_holds_the_answer(hops):
    for seed in range(30):
        question = FactTask(facts=3, filler=2, hops=hops).draw(Random(seed))
        who = question.lead.removeprefix("The box of ").removesuffix(" is")
        assert question.text.count(".") == 3 + 2 + hops - 1
        if hops == 2:
            same = f"{who} has the same box as "
            assert same in question.text
            who = question.text.split(same)[1].split(".")[0]
        assert f"The box of {who} is {question.answer}." in question.text


def test_reward_rises_by_the_compressor_alone(tmp_path):
    rewards, _ = train_jointly(base(chat=False), settings(30), tmp_path / "out", silent, never, resume=False, task=TOY)
    rows = steps_in(tmp_path / "out")
    assert rewards.first[0] < 0.1 and rewards.last[0] > 0.3 and rewards.errors > 3
    assert any(row["compressor_norm"] > 0 for row in rows) and all(row["reader_norm"] == 0 for row in rows)
    assert rewards_in(tmp_path / "out") == rewards


def test_a_frozen_compressor_stays_as_it_is(tmp_path):
    model = base(chat=False)
    made = settings(3, frozen=True, reader_rank=4, group=64)
    task = FactTask(1, 0, 1, ("a",), tuple("abcdefghijklmnopqrstuvwxyz"))
    train_jointly(model, made, tmp_path / "out", silent, never, resume=False, task=task)
    fresh = MemoryTokens(model.model, end=model.end).state_dict()
    written, _ = load_tensors(tmp_path / "out")
    assert all(torch.equal(written[name], one) for name, one in fresh.items())
    rows = steps_in(tmp_path / "out")
    assert all(row["compressor_norm"] == 0 for row in rows) and any(row["reader_norm"] > 0 for row in rows)
    assert (tmp_path / "out" / "reader.safetensors").exists()


def test_goes_on_from_a_trained_compressor_of_the_same_model(tmp_path):
    model, other = base(chat=False), base("qwen3", chat=False)
    tokens = MemoryTokens(model.model, rank=4)
    manifest = CompressorManifest(base_identity(model.model), "tiny", model.end, rank=4, window=8)
    save_tokens(tmp_path / "first", tokens, manifest)
    made = settings(2, compressor=tmp_path / "first", parts=2)
    train_jointly(model, made, tmp_path / "out", silent, never, resume=False, task=TOY)
    _, found = load_tensors(tmp_path / "out")
    assert found.rank == 4 and found.window == 8 and found.made["joint"]["steps"] == 2
    assert str(tmp_path) not in (tmp_path / "out" / "log.jsonl").read_text()
    with pytest.raises(InputError, match="other weights"):
        train_jointly(other, made, tmp_path / "other", silent, never, resume=False, task=TOY)


def test_resumed_is_uninterrupted(tmp_path):
    made = settings(4, reader_rank=4)
    train_jointly(base(chat=False), made, tmp_path / "whole", silent, never, resume=False, task=TOY)
    stops = iter([False, True])
    with pytest.raises(Interrupted):
        train_jointly(base(chat=False), made, tmp_path / "parts", silent, lambda: next(stops), resume=False, task=TOY)
    train_jointly(base(chat=False), made, tmp_path / "parts", silent, never, resume=True, task=TOY)
    one, other = (load_tensors(tmp_path / name)[0] for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [row["reward"] for row in steps_in(tmp_path / "whole")] == [
        row["reward"] for row in steps_in(tmp_path / "parts")
    ]


def test_a_finished_training_is_not_begun_again(tmp_path):
    made = settings(1)
    train_jointly(base(chat=False), made, tmp_path / "out", silent, never, resume=False, task=TOY)
    log = (tmp_path / "out" / "log.jsonl").read_text()
    with pytest.raises(InputError, match="is finished"):
        train_jointly(base(chat=False), made, tmp_path / "out", silent, never, resume=True, task=TOY)
    assert (tmp_path / "out" / "log.jsonl").read_text() == log


def test_rewards_of_tenths():
    rows = [{"kind": "step", "reward": value} for value in [0.0, 0.2, *[0.5] * 16, 0.9, 1.0]]
    found = rewards_of([{"kind": "begin"}, *rows])
    assert found.first == pytest.approx((0.1, 0.1)) and found.last == pytest.approx((0.95, 0.05))
    assert found.errors == pytest.approx(0.85 / (0.01 + 0.0025) ** 0.5)
    assert found.errors_above(Rewards((0.0, 0.0), (0.95, 0.0))) == 0
    assert json.loads(json.dumps(found.first)) == list(found.first)


def test_a_folder_without_rewards_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished training"):
        rewards_in(tmp_path)
    TrainingLog(tmp_path / "log.jsonl").add("step", step=0, reward=1.0)
    with pytest.raises(InputError, match="no finished training"):
        rewards_in(tmp_path)


@pytest.mark.parametrize("wrong", [{"frozen": True, "reader_rank": 0}, {"group": 1}, {"hops": 3}, {"ratios": (99,)}])
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError, match="Unusable settings"):
        settings(1, **wrong)
