"""The commands: what they say when something is wrong, what they write, and how Ctrl-C and --resume go together."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from compressor_training import write_text
from local_models import save_tiny

from rereader.cli.main import run
from rereader.models.tiny import tiny_model
from rereader.schema import Interrupted

SMALL = (
    "--window", "16", "--windows", "1", "--continuation", "8", "--ratios", "2,4", "--measured", "4", "--chunks", "2"
)  # fmt: skip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny model."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path / "text.txt")


@pytest.fixture
def told(tmp_path, capfd, monkeypatch):
    """Runs a command in an empty folder; its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REREADER_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    monkeypatch.delenv("REREADER_DATA", raising=False)

    def call(*arguments):
        code = run(["train", *map(str, arguments)])
        output, errors = capfd.readouterr()
        return code, output, " ".join(errors.split())

    return call


def test_training_says_what_it_came_to(told, tiny, text, tmp_path):
    code, output, _ = told("compressor", "--model", tiny, "--text", text, "--steps", 3, "--out", "out", *SMALL)
    assert code == 0
    assert output.startswith("out: 3 steps") and "ratio 4" in output and "untrained" in output
    assert (tmp_path / "out" / "memory_tokens.safetensors").exists()


def test_json(told, tiny, text):
    code, output, _ = told(
        "compressor", "--model", tiny, "--text", text, "--steps", 2, "--lora", 2, *SMALL, "--json", "--quiet"
    )
    found = json.loads(output)
    assert code == 0 and found["steps"] == 2 and found["out"] == "compressor-tiny-0"
    assert {row["memory"] for row in found["measured"]} >= {"none", "full", "trained", "untrained", "recent"}


def test_what_was_trained_compresses_in_the_application(told, tiny, text, tmp_path):
    from rereader.models.base import Segment
    from rereader.models.kvmemory import Compression
    from rereader.models.local import LocalModel

    told("compressor", "--model", tiny, "--text", text, "--steps", 2, "--out", "out", *SMALL)
    model = LocalModel.load(tiny, name="tiny", device="cpu", dtype="float32")
    (block,) = model.compress_kv([(Segment("user", "The river. " * 9),)], Compression(str(tmp_path / "out"), 4.0))
    assert block.places < block.length / 3
    model.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "1"), "no text to train with"),
        (("--text", "none.txt", "--steps", "1"), "none.txt"),
        (("--text", "text.txt", "--steps", "1", "--minutes", "1"), "not both"),
        (("--text", "text.txt", "--ratios", "two"), "--ratios takes numbers"),
        (("--text", "text.txt", "--ratios", "0.1"), "between 1 and 64"),
        (("--text", "text.txt", "--layout", "sideways"), "layout"),
        (("--resume",), "Name its folder with --out"),
        (("--resume", "--out", "none"), "no training of this kind"),
        (("--resume", "--out", "none", "--seed", "1"), "seed was given"),
        (("--text", "text.txt", "--out", "text.txt"), "exists already"),
    ],
)
def test_wrong_input(told, tiny, text, arguments, message):
    model = () if "--resume" in arguments else ("--model", tiny)
    code, output, errors = told("compressor", *model, *arguments)
    assert code == 2 and not output
    assert message in errors and "Traceback" not in errors


def test_paths_are_kept_in_full(told, tiny, text, tmp_path, monkeypatch):
    """A training may go on from another folder than the one it began in."""
    held_out = write_text(tmp_path / "held-out.txt", 40)
    model = os.path.relpath(tiny, tmp_path)
    chosen = ("--model", model, "--text", text.name, "--held-out", held_out.name)
    monkeypatch.setattr("rereader.training.compressor.summarise", interrupted)
    assert told("compressor", *chosen, "--steps", 2, "--out", tmp_path / "out", *SMALL)[0] == 130
    monkeypatch.undo()
    monkeypatch.setenv("REREADER_MODELS", str(tmp_path / "models"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, output, errors = told("compressor", "--resume", "--out", tmp_path / "out")
    assert code == 0 and "2 steps" in output, errors


def interrupted(*_):
    raise Interrupted("Stopped.", "Go on.")


def test_an_unknown_model(told, text):
    code, _, errors = told("compressor", "--model", "no-such-model", "--text", text)
    assert code == 2 and "no-such-model" in errors


def test_a_model_of_another_family(told, text, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    _, tokenizer = tiny_model()
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=512)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    code, _, errors = told("compressor", "--model", tmp_path / "gpt2", "--text", text, "--steps", 1, *SMALL)
    assert code == 5 and "gpt2" in errors and "Traceback" not in errors


@pytest.mark.parametrize("command", ["compressor", "joint"])
def test_without_the_packages(told, tiny, text, command, monkeypatch):
    import importlib.util

    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else known(name, *rest)
    )
    arguments = ("--text", text) if command == "compressor" else ()
    code, _, errors = told(command, "--model", tiny, *arguments)
    assert code == 2 and "rereader[train]" in errors


@pytest.mark.parametrize("command", ["compressor", "joint"])
def test_help_has_examples(told, command):
    code, output, _ = told(command, "--help")
    assert code == 0 and f"rereader train {command}" in output and "--resume" in output


def test_joint(told, tiny, tmp_path, monkeypatch):
    small = ("--questions", 1, "--group", 2, "--facts", 1, "--filler", 0, "--model", tiny, "--steps", 2)
    assert told("joint", *small, "--frozen", "--out", "frozen")[0] == 0
    code, output, _ = told("joint", *small, "--out", "out", "--against", "frozen")
    assert code == 0 and "in the first tenth" in output and "The other training" in output
    code, output, _ = told("joint", *small, "--out", "third", "--against", "frozen", "--json")
    assert code == 0 and {"first_tenth", "last_tenth", "errors", "errors_above_other"} <= json.loads(output).keys()
    code, _, errors = told("joint", *small, "--seed", 1, "--out", "fourth", "--against", "frozen")
    assert code == 2 and "another seed" in errors
    monkeypatch.setattr("rereader.training.compressor_joint.train_jointly", None)
    code, _, errors = told("joint", *small, "--out", "fourth", "--against", "models")
    assert code == 2 and "no finished training" in errors, "said before anything is trained"
    assert not (tmp_path / "fourth").exists()


def test_joint_with_its_control(told, tiny, monkeypatch):
    small = ("--questions", 1, "--group", 2, "--facts", 1, "--filler", 0, "--model", tiny)
    code, output, _ = told("joint", *small, "--steps", 2, "--control", "--out", "out")
    assert code == 0 and "Its control, with a frozen compressor" in output and "over the same questions" in output
    code, output, _ = told("joint", *small, "--steps", 2, "--control", "--out", "second", "--json")
    found = json.loads(output)
    assert code == 0 and found["control"].keys() == {"first_tenth", "last_tenth", "errors"}
    assert len(found["above_control"]) == 2
    for wrong, message in (
        (("--minutes", 1, "--control"), "Say how many with --steps"),
        (("--steps", 1, "--control", "--frozen"), "a control itself"),
        (("--steps", 1, "--control", "--against", "out"), "Give one of the two"),
        (("--resume", "--control"), "control was given"),
    ):
        given = () if "--resume" in wrong else small
        code, _, errors = told("joint", *given, *wrong, "--out", "third")
        assert code == 2 and message in errors, errors
    with monkeypatch.context() as stopping:
        stopping.setattr("rereader.training.compressor_joint.rewards_of", interrupted)
        assert told("joint", *small, "--steps", 2, "--control", "--out", "fourth")[0] == 130
    code, output, _ = told("joint", "--resume", "--out", "fourth")
    assert code == 0 and "Its control" in output, "whether there is one is kept"


def test_ctrl_c_keeps_the_training(tiny, text, tmp_path):
    """In a process of its own, by a real signal."""
    out = tmp_path / "out"
    environment = {**os.environ, "REREADER_MODELS": str(tmp_path)}

    def start(*arguments):
        command = [sys.executable, "-m", "rereader", "train", "compressor", *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    process = start("--model", tiny, "--text", text, "--steps", 100_000, "--out", out, *SMALL)
    log = out / "log.jsonl"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (log.exists() and '"step": 3' in log.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "it is kept" in errors and f"--resume --out {out}" in " ".join(errors.split())
    again = start("--resume", "--out", out)
    count = log.read_text().count('"kind": "step"')
    while time.monotonic() < end and log.read_text().count('"kind": "step"') < count + 3:
        time.sleep(0.1)
    again.send_signal(signal.SIGINT)
    assert again.communicate(timeout=60) and again.returncode == 130
    steps = [row["step"] for row in map(json.loads, log.read_text().splitlines()) if row["kind"] == "step"]
    assert steps == list(range(len(steps))) and len(steps) >= count + 3
