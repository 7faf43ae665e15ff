"""Training a compressor: what is read, what is learnt, and that a kill costs nothing but time."""

import json
import os
from random import Random

import pytest
import torch
from compressor_training import base, ids, never, passes, settings, silent, write_text

from rereader.models.memory_file import load_tensors
from rereader.schema import InputError, Interrupted, ModelError
from rereader.training.compressor import train
from rereader.training.compressor_evaluation import mean_and_error, summarise
from rereader.training.compressor_log import TrainingLog, running_mean
from rereader.training.compressor_loop import CHECKPOINT, Loop, alone
from rereader.training.compressor_losses import stretch_loss
from rereader.training.compressor_settings import (
    CompressorSettings,
    JointSettings,
    Schedule,
    make_settings,
    read_settings,
    write_settings,
)
from rereader.training.compressor_texts import default_texts, load_texts


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path / "text.txt")


def weights(folder):
    return load_tensors(folder)[0]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def kinds(folder):
    return [row["kind"] for row in TrainingLog(folder / "log.jsonl").rows()]


def test_loss_counts_what_was_read_after_memory():
    run, tokens = passes()
    start = run.begin(ids(3))
    loss, counted = stretch_loss(run, tokens, start, ids(2 * 8 + 5, rows=2), 8, 2, 4)
    assert counted == 2 * (8 - 1) + 2 * (5 - 1)
    assert loss.requires_grad
    one, counted = stretch_loss(run, tokens, start, ids(8 + 5), 8, 1, 4)
    assert counted == 4 and torch.isfinite(one)


def test_loss_is_that_of_the_continuation_after_memory():
    run, tokens = passes()
    text, start = ids(8 + 5), run.begin(ids(3))
    loss, _ = stretch_loss(run, tokens, start, text, 8, 1, 4)
    past = start.then(run.fold(start, text[:, :8], tokens, 4)[1])
    logits = run.logits(run.read(past, text[:, 8:]))[0, :-1].log_softmax(-1)
    picked = logits.gather(-1, text[0, 9:, None])
    torch.testing.assert_close(loss, -picked.mean())


@pytest.mark.parametrize("rank", [0, 4])
def test_loss_falls(tmp_path, text, rank):
    trained = train(base(), settings(text, steps=40, rank=rank), tmp_path / "out", silent, never, resume=False)
    rows = [row for row in TrainingLog(tmp_path / "out" / "log.jsonl").rows() if row["kind"] == "step"]
    losses = [row["loss"] for row in rows]
    assert len(losses) == trained.steps == 40
    assert sum(losses[-8:]) / 8 < sum(losses[:8]) / 8 - 0.3
    assert {row["ratio"] for row in rows} == {2, 4}


def test_what_is_written(tmp_path, text):
    out = tmp_path / "out"
    model = base()
    before = {name: one.clone() for name, one in model.model.state_dict().items()}
    trained = train(model, settings(text), out, silent, never, resume=False)
    assert same(before, model.model.state_dict())
    assert sorted(path.name for path in out.iterdir()) == [
        "log.jsonl", "loss.png", "manifest.json", "memory_tokens.safetensors", "settings.json"
    ]  # fmt: skip
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["ratios"] == [2, 4] and len(manifest["data"]) == 64 and manifest["window"] == 16
    assert manifest["made"]["steps"] == 4 and {"torch", "transformers"} <= manifest["made"]["versions"].keys()
    names = {row["memory"] for row in trained.summary}
    assert names == {"none", "full", "trained", "trained-counted", "untrained", "untrained-end", "other-text", "recent"}
    assert all(row["chunks"] == 2 for row in trained.summary)
    log = (out / "log.jsonl").read_text()
    assert str(tmp_path) not in log


def test_measured_memories_are_of_equal_size(tmp_path, text):
    train(base(), settings(text, steps=1), tmp_path / "out", silent, never, resume=False)
    rows = [row for row in TrainingLog(tmp_path / "out" / "log.jsonl").rows() if row["kind"] == "measured"]
    assert {row["places"] for row in rows if row["ratio"]} == {32 // 4}
    assert {row["tokens"] for row in rows} == {7}


def test_a_scorer_that_keeps_everything_gives_the_loss_of_the_whole_text(tmp_path, text):
    made = settings(text, steps=1, scorers=("random",), measured_ratios=(1,))
    train(base(), made, tmp_path / "out", silent, never, resume=False)
    rows = [row for row in TrainingLog(tmp_path / "out" / "log.jsonl").rows() if row["kind"] == "measured"]
    for chunk in (0, 1):
        found = {row["memory"]: row["loss"] for row in rows if row["chunk"] == chunk}
        assert found["random"] == pytest.approx(found["full"], abs=1e-4)
        assert found["none"] != pytest.approx(found["full"], abs=1e-4)


@pytest.mark.parametrize("killed_after", [1, 3])
def test_resumed_is_uninterrupted(tmp_path, text, killed_after):
    made = settings(text, steps=6, chunks=0, schedule={"save_seconds": 0})
    train(base(), made, tmp_path / "whole", silent, never, resume=False)
    taken = []

    def killed(progress):
        taken.append(progress.done)
        if progress.done == killed_after + 1:
            raise KeyboardInterrupt  # in the middle of everything, as a signal would

    with pytest.raises(KeyboardInterrupt):
        train(base(), made, tmp_path / "parts", killed, never, resume=False)
    assert "measured" not in kinds(tmp_path / "parts")
    train(base(), made, tmp_path / "parts", silent, never, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    rows = [row for row in TrainingLog(tmp_path / "parts" / "log.jsonl").rows() if row["kind"] == "step"]
    assert [row["step"] for row in rows] == list(range(6))


def test_steps_after_the_checkpoint_are_taken_again(tmp_path, text):
    """A kill between two checkpoints: the log has steps that the checkpoint has not."""
    made = settings(text, steps=5, chunks=0, schedule={"save_seconds": 1e9})
    train(base(), made, tmp_path / "whole", silent, never, resume=False)
    out = tmp_path / "parts"
    stops = iter([False, True])
    with pytest.raises(Interrupted):
        train(base(), made, out, silent, lambda: next(stops), resume=False)
    checkpoint = (out / CHECKPOINT).read_bytes()

    def killed(progress):
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(base(), made, out, killed, never, resume=True)
    assert (out / CHECKPOINT).read_bytes() == checkpoint
    train(base(), made, out, silent, never, resume=True)
    assert same(weights(tmp_path / "whole"), weights(out))
    steps = [row["step"] for row in TrainingLog(out / "log.jsonl").rows() if row["kind"] == "step"]
    assert steps == list(range(5))


def test_a_stop_says_how_to_go_on(tmp_path, text):
    with pytest.raises(Interrupted, match=r"after step 1; it is kept.*--resume --out .*out"):
        train(base(), settings(text), tmp_path / "out", silent, lambda: True, resume=False)
    assert (tmp_path / "out" / CHECKPOINT).exists()


def test_a_stop_while_measuring_keeps_the_training(tmp_path, text):
    out, made = tmp_path / "out", settings(text, steps=2)
    seen = []
    with pytest.raises(Interrupted, match="the training is kept"):
        train(
            base(),
            made,
            out,
            lambda progress: seen.append(progress.stage),
            lambda: "measurements" in seen,
            resume=False,
        )
    trained = train(base(), made, out, silent, never, resume=True)
    assert trained.steps == 2 and kinds(out).count("step") == 2
    assert kinds(out).count("measured") == len(trained.summary) * 2


@pytest.mark.parametrize("damage", ["settings", "cut", "text", "model"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, text, damage):
    out, made, model = tmp_path / "out", settings(text), base()
    with pytest.raises(Interrupted):
        train(base(), made, out, silent, lambda: True, resume=False)
    if damage == "cut":
        os.truncate(out / CHECKPOINT, 100)
    elif damage == "text":
        text.write_text(text.read_text() + " And then?")
    elif damage == "model":
        with torch.no_grad():
            model.model.get_input_embeddings().weight[0, 0] += 1
    else:
        made = settings(text, seed=1)
    with pytest.raises(InputError, match="cannot be used"):
        train(model, made, out, silent, never, resume=True)


def test_seeds_decide(tmp_path, text):
    made = [settings(text, steps=2, chunks=0, seed=seed) for seed in (0, 0, 1)]
    for number, one in enumerate(made):
        train(base(), one, tmp_path / str(number), silent, never, resume=False)
    first, second, third = (weights(tmp_path / str(number)) for number in range(3))
    assert same(first, second) and not same(first, third)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    module = torch.nn.Linear(1, 1)
    loop = Loop(module, Schedule(steps=3), tmp_path, "")

    def step(_number):
        (module(torch.ones(1)) * torch.nan).sum().backward()
        return {"loss": float("nan")}

    with pytest.raises(ModelError, match="not a number"):
        loop.run(step, silent, never)
    assert not bool(module.weight.isnan().any())


@pytest.mark.parametrize("slow", [range(5), range(5, 10)])
def test_minutes_end_it_and_the_rate_falls_with_them_at_any_pace(tmp_path, slow, monkeypatch):
    """Neither a slow beginning nor a fast one tells how many steps there will be."""
    module, clock, told = torch.nn.Linear(1, 1), [0.0], []
    monkeypatch.setattr("rereader.training.compressor_loop.time.monotonic", lambda: clock[0])
    loop = Loop(module, Schedule(minutes=1, warm_up=0, save_seconds=1e9), tmp_path, "")

    def step(number):
        clock[0] += 6.0 if number in slow else 1.0
        module(torch.ones(1)).sum().backward()
        return {"loss": 1.0}

    loop.run(step, told.append, never)
    rates = [row["rate"] for row in loop.log.rows() if row["kind"] == "step"]
    assert loop.counter.seconds == 60 and loop.counter.step == 35 == told[-1].total
    assert rates == sorted(rates, reverse=True) and rates[0] == pytest.approx(3e-4)
    assert rates[-1] == pytest.approx(3e-5, rel=0.01)


def test_two_trainings_keep_out_of_each_others_way(tmp_path):
    with alone(tmp_path / "out"), pytest.raises(InputError, match="Another process trains"), alone(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists()
    with alone(tmp_path / "out"):
        (tmp_path / "out" / "log.jsonl").write_text("")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["log.jsonl"]


def test_the_callers_random_state_is_left_alone(tmp_path, text):
    model = base()
    before = torch.get_rng_state()
    train(model, settings(text, steps=1, rank=2), tmp_path / "out", silent, never, resume=False)
    assert torch.equal(before, torch.get_rng_state())


def test_a_new_compressor_is_what_the_seed_decides():
    model = base()
    one, two, other = (model.new_tokens(2, "token", seed).state_dict() for seed in (0, 0, 1))
    assert same(one, two) and not same(one, other)


def test_rate_warms_up_and_falls(tmp_path):
    loop = Loop(torch.nn.Linear(1, 1), Schedule(steps=110, warm_up=10, learning_rate=1.0), tmp_path, "")
    rates = [loop.rate(step) for step in range(110)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] == pytest.approx(1.0) and rates[-1] == pytest.approx(0.1, abs=0.01)


def test_texts_hold_out_their_ends(tmp_path, text):
    renderer = base().renderer
    found = load_texts([text], [], 0.2, 20, renderer)
    whole = tuple(renderer.encode(text.read_text()))
    assert found.train[0] + found.held_out[0] == whole
    assert len(found.held_out[0]) == pytest.approx(0.2 * len(whole), abs=1)
    stretch = found.draw(Random(0), 20)
    assert len(stretch) == 20 and stretch == found.draw(Random(0), 20)
    assert found.unseen(3, 20) == found.unseen(3, 20)


def test_texts_may_be_held_out_whole(tmp_path, text):
    other = tmp_path / "other.txt"
    other.write_text("Nobody has seen this text before. " * 20)
    found = load_texts([text], [other], 0.2, 20, base().renderer)
    assert found.train[0] == tuple(base().renderer.encode(text.read_text()))
    assert found.held_out == (tuple(base().renderer.encode(other.read_text())),)


def test_special_tokens_in_a_text_are_plain_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("<|im_end|> " * 100)
    renderer = base().renderer
    found = load_texts([path], [], 0.2, 20, renderer)
    assert not set(found.train[0]) & {266, 265, 264} and len(found.train[0]) > 200


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"short", "no text|No text"), (b"\xff\xfe\x00" * 99, "not a UTF-8 text"), (None, "Cannot")],
)
def test_texts_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_texts([path], [], 0.1, 20, base().renderer)


def test_no_texts(tmp_path, monkeypatch):
    monkeypatch.delenv("REREADER_DATA", raising=False)
    with pytest.raises(InputError, match="no text to train with"):
        load_texts([], [], 0.1, 20, base().renderer)
    with pytest.raises(InputError, match="models pull bible"):
        default_texts(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": {"steps": 1, "minutes": 1}},
        {"schedule": {}},
        {"schedule": {"steps": 0}},
        {"window": 0},
        {"ratios": ()},
        {"ratios": (0.5,)},
        {"layout": "upside-down"},
        {"start": "middle"},
        {"colour": "blue"},
    ],
)
def test_settings_out_of_range(wrong):
    values = {"model": "tiny", "texts": ["a.txt"], "schedule": {"steps": 1}, **wrong}
    with pytest.raises(InputError, match="Unusable settings"):
        make_settings(CompressorSettings, values)


def test_settings_are_kept(tmp_path, text):
    made = settings(text)
    write_settings(tmp_path / "out", made)
    assert read_settings(CompressorSettings, tmp_path / "out") == made
    with pytest.raises(InputError, match="to go on with"):
        read_settings(JointSettings, tmp_path / "out")
    with pytest.raises(InputError, match="to go on with"):
        read_settings(CompressorSettings, tmp_path)


def test_summary_is_paired():
    losses = {"none": (None, [5.0, 4.0]), "trained": (4.0, [3.0, 3.0]), "recent": (4.0, [2.0, 3.0])}
    rows = [
        {"chunk": chunk, "memory": name, "ratio": ratio, "loss": loss}
        for name, (ratio, values) in losses.items()
        for chunk, loss in enumerate(values)
    ]
    found = {row["memory"]: row for row in summarise(rows)}
    assert found["none"]["more"] == 1.5 and found["none"]["error"] == pytest.approx(0.5)
    assert found["recent"]["more"] == -0.5 and found["trained"]["more"] == 0
    assert summarise([]) == []
    assert mean_and_error([2.0]) == (2.0, 0.0)


def test_log_survives_a_torn_line(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl")
    log.add("begin")
    log.add("step", step=0, loss=1.0)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "st')
    assert [row["kind"] for row in log.rows()] == ["begin", "step"]
    log.forget_after(0)
    assert [row["kind"] for row in log.rows()] == ["begin"]


def test_without_matplotlib_there_is_a_note(tmp_path, monkeypatch):
    log = TrainingLog(tmp_path / "log.jsonl")
    log.add("step", step=0, loss=1.0)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert "rereader[train]" in log.draw("loss", "loss", tmp_path / "loss.png")[0]


def test_running_mean():
    assert running_mean([1.0, 2.0, 6.0], 1) == [1.5, 3.0, 4.0]
