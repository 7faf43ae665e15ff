"""``--memory text | kv | both``: what is read of a chunk, from the shell."""

import json

import pytest
from local_models import save_tiny
from strongbox import QUESTION

from rereader.cli.options import graph_settings
from rereader.models.kvmemory import MEMORY_TOKENS_FILE

SMALL = ["--set=chunk_tokens=48", "--set=working_tokens=12", "--set=max_new_tokens=4", "--set=waves=2"]


@pytest.fixture
def sentences():
    return 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with random weights in a folder."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--memory", "gist"], "none of text, kv and both"),
        (["--memory", "raw"], "--set memory=raw"),
        (["--memory", "kv", "--graph", "retrieval"], "retrieval has no choice for --memory"),
        (["--memory", "text", "--graph", "retrieval"], "add --graph compressed-memory"),
        (["--memory", "both", "--set=gate=likelihood"], "looks at no block"),
        (["--memory", "kv", "--set=ratio=0.5"], "'ratio'"),
        (["--memory", "kv", "--set=ratio=99"], "'ratio'"),
        (["--memory", "kv", "--set=compressor=nonsense"], "no compressor nonsense"),
        (["--memory", "kv", "--set=reads=gist"], "--memory kv and --set reads=gist do not go together"),
        (["--memory", "text", "--set=reads=kv"], "--memory text and --set reads=kv do not go together"),
        (["--memory", "both", "--set=reads=kv"], "--memory both and --set reads=kv do not go together"),
    ],
)
def test_bad_choices_get_one_line(command, book, arguments, words):
    for name in ("ask", "estimate"):
        code, out, err = command(name, book, QUESTION, *arguments)
        assert (code, out, words in err, len(err.splitlines())) == (2, "", True, 1), (name, err)


@pytest.mark.parametrize(
    ("memory", "values", "reads"),
    [
        ("text", [], "gist"),
        ("text", ["reads=raw"], "raw"),
        ("kv", [], "kv"),
        ("both", ["reads=both"], "both"),
        (None, ["reads=raw"], "raw"),
    ],
)
def test_what_a_pair_says_more_exactly_holds(memory, values, reads):
    assert graph_settings(values, None, memory)["reads"] == reads


def test_a_compressor_that_is_damaged_is_found_before_anything_is_stored(command, book, folder, tmp_path):
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / MEMORY_TOKENS_FILE).write_bytes(b"no weights")
    asking = ["--model", folder, "--runtime", "transformers", "--memory", "kv"]
    asking += [f"--set=compressor={tmp_path / 'trained'}", *SMALL]
    for name, question in (("ask", [QUESTION]), ("add", [])):
        code, out, err = command(name, book, *question, *asking)
        assert (code, out, "cannot be used" in err) == (2, "", True), err
    assert json.loads(command("documents", "--json")[1]) == json.loads(command("runs", "list", "--json")[1]) == []


def test_a_follow_up_on_text_asks_for_no_gate_that_nobody_asked_for(command, book, folder):
    models = ["--model", folder, "--role", f"scorer={folder}", "--runtime", "transformers"]
    first = json.loads(command("ask", book, QUESTION, *models, *SMALL, "--memory", "both", "--json")[1])
    follow = command("ask", "--run", first["run_id"], "Who reads?", *models, "--memory", "text", "--json")[1]
    shown = json.loads(command("show", json.loads(follow)["run_id"], "--json")[1])
    assert shown["settings"]["gate"] == "similarity"
    assert not [call for step in shown["steps"] if step["node"] == "gate" for call in step["calls"]]


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
    (tmp_path / "config.toml").write_text("kv_megabytes = 77\n", encoding="utf-8")
    command("ask", book, QUESTION, "--model", folder, "--runtime", "transformers", "--memory", "kv", *SMALL)
    assert "of at most 77 MB" in command("doctor")[1]
