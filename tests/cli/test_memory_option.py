"""``--memory text | kv | both``: what is read of a chunk, from the shell."""

import json

import pytest

from rereader.models.tiny import tiny_model
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
SMALL = ["--set=chunk_tokens=48", "--set=working_tokens=12", "--set=max_new_tokens=4", "--set=waves=2"]


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(plant(essay(1, 20), [FACT]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with random weights in a folder."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    model, tokenizer = tiny_model("llama")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--memory", "gist"], "none of text, kv and both"),
        (["--memory", "raw"], "--set memory=raw"),
        (["--memory", "kv", "--graph", "retrieval"], "retrieval has no choice for --memory"),
        (["--memory", "text", "--graph", "retrieval"], "add --graph compressed-memory"),
        (["--memory", "both", "--set=gate=likelihood"], "looks at no block"),
        (["--memory", "kv", "--set=ratio=0.5"], "'ratio'"),
    ],
)
def test_bad_choices_get_one_line(command, book, arguments, words):
    for name in ("ask", "estimate"):
        code, out, err = command(name, book, QUESTION, *arguments)
        assert (code, out, words in err, len(err.splitlines())) == (2, "", True, 1), (name, err)


def test_a_reader_is_asked_for_where_there_is_none(command, book):
    code, _, err = command("ask", book, QUESTION, "--memory", "kv")
    assert code == 5 and "needs a reader" in err and "--model NAME" in err


def test_blocks_are_read_shown_estimated_and_removed(command, book, folder, workspace):
    reader = ["--model", folder, "--runtime", "transformers", *SMALL]
    told = json.loads(command("estimate", book, QUESTION, *reader[:2], "--memory", "kv", "--json")[1])
    [stage] = [one for one in told["stages"] if one["stage"] == "compress"]
    assert stage["calls"] > 0 and stage["disk"] > 0
    code, out, err = command("ask", book, QUESTION, *reader, "--memory", "kv", "--json")
    assert code in (0, 4), err
    assert "of compressed memories are kept in the workspace (bfloat16)" in err
    run = json.loads(out)["run_id"]
    assert "read the compressed memories of chunks" in command("show", run)[1]
    shown = json.loads(command("show", run, "--json")[1])
    assert shown["settings"]["reads"] == "kv"
    assert {"compress", "read"} <= {step["node"] for step in shown["steps"]}
    assert "compressed memories take" in command("doctor")[1]
    follow = json.loads(
        command("ask", "--run", run, "Who reads the letter?", *reader[:4], "--memory", "text", "--json")[1]
    )
    steps = json.loads(command("show", follow["run_id"], "--json")[1])["steps"]
    assert "compress" not in {step["node"] for step in steps}
    [document] = json.loads(command("documents", "--json")[1])
    assert command("remove", document["id"][:8], "--yes")[0] == 0
    assert not list((workspace / "kv").rglob("*.safetensors"))


def test_the_most_that_blocks_may_take_is_configured(command, book, folder, tmp_path, workspace):
    (tmp_path / "config.toml").write_text("kv_megabytes = 0\n", encoding="utf-8")
    code, _, err = command(
        "ask", book, QUESTION, "--model", folder, "--runtime", "transformers", "--memory", "kv", *SMALL
    )
    assert code == 2
    assert "may take 0 kB in all" in err and "kv_megabytes" in err
    assert not list((workspace / "kv").rglob("*.safetensors"))
