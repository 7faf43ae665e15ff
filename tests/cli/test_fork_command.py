"""``rereader fork`` and ``rereader runs tree``, in this process on models that need no weights."""

import io
import json
import sys
import tomllib

import pytest

from rereader.cli.main import run
from rereader.config import load_config
from rereader.memory.library import Library
from rereader.schema import Budget


@pytest.fixture
def asked(command, book):
    """The id of a run, the step before its answer, and the command."""
    code, out, err = command(
        "ask", book, "With which number does the strongbox of the Ulpelhala office open?", "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    _, out, _ = command("show", answer["run_id"], "--json")
    steps = json.loads(out)["steps"]
    return answer, next(step["number"] for step in steps if step["node"] == "answer") - 1


@pytest.fixture
def call(capsys):
    def run_it(*arguments):
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_it


def test_a_fork_that_changes_nothing_says_so(asked, call):
    answer, step = asked
    code, out, err = call("fork", answer["run_id"][:6], "--step", step)
    assert code == 0 and answer["answer"] in out
    assert f"is a fork of {answer['run_id']} at step {step}" in err and "the same answer" in err
    assert "0 of them made anew" in err


def test_the_printed_memory_is_edited_and_fed_back(asked, call, tmp_path, monkeypatch):
    answer, step = asked
    code, text, _ = call("fork", answer["run_id"], "--step", step, "--print-memory")
    memory = tomllib.loads(text)["memory"]
    assert code == 0 and {one["slot"] for one in memory} == {"quote"}
    assert f"rereader fork {answer['run_id']} --step {step} --edit FILE" in text
    file = tmp_path / "memory.toml"
    file.write_text(text, encoding="utf-8-sig")
    code, out, _ = call("fork", answer["run_id"], "--step", step, "--edit", file, "--json")
    unchanged = json.loads(out)
    assert code == 0 and unchanged["answer"] == answer["answer"] and unchanged["fork"]["same"] is True
    blocks = text.split("[[memory]]")
    kept = [block for block in blocks[1:] if "5265" not in block]
    assert len(kept) == len(memory) - 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("[[memory]]".join(["", *kept]).encode())))
    code, out, err = call("fork", answer["run_id"], "--step", step, "--edit", "-")
    assert "5265" not in out and "another answer; before:" in err
    code, out, _ = call("fork", answer["run_id"], "--step", step, "--print-memory", "--json")
    assert [one["record"] for one in json.loads(out)["memory"]] == [one["record"] for one in memory]


def test_question_setting_and_page(asked, call, tmp_path):
    answer, step = asked
    page = tmp_path / "fork.html"
    question = "Who keeps the hives?"
    code, out, _ = call(
        "fork", answer["run_id"], "--step", step, "--question", question, "--set", "decline-below=0",
        "--json", "--html", page,
    )  # fmt: skip
    forked = json.loads(out)
    assert (forked["question"], forked["fork"]["step"]) == (question, step)
    assert question in page.read_text()
    assert code == 0


def test_the_tree_tells_forks_from_follow_ups(asked, call, command):
    answer, step = asked
    code, out, _ = call("fork", answer["run_id"], "--step", step, "--json")
    first = json.loads(out)["run_id"]
    call("fork", first, "--step", 2)
    command("ask", "--run", answer["run_id"], "What was sold?")
    code, out, _ = call("runs", "tree", "--json")
    found = json.loads(out)
    assert [(one["depth"], one["descent"], one["forked_at"]) for one in found] == [
        (0, "first", None),
        (1, "fork", step),
        (2, "fork", 2),
        (1, "follow-up", None),
    ]
    assert [one["parent"] for one in found[:3]] == [None, answer["run_id"], first]
    code, out, _ = call("runs", "tree")
    lines = out.splitlines()
    assert code == 0 and f"├─ {first}" in out and "│  └─ " in out and f"fork at {step}" in out
    assert [line for line in lines if "follow-up" in line and "What was sold?" in line]


BAD = [
    (["--step", "99"], "has no step 99"),
    (["--step", "3", "--edit", "nowhere.toml"], "Cannot read nowhere.toml"),
    (["--step", "99", "--print-memory"], "has no step 99"),
    (["--step", "6", "--set", "chunk_tokens=64"], "chunk_tokens cannot change after step 1"),
    (["--step", "6", "--set", "chunks=64"], "no setting 'chunks'"),
    (["--step", "6", "--role", "judge=x"], "There is no role 'judge'"),
    (["--step", "6", "--role", "embedder=minilm"], "minilm"),
    (["--step", "6", "--question", " "], "question is empty"),
    (["--step", "6", "--max-tokens", "-1"], "negative"),
    (["--step", "6", "--json", "--markdown"], "cannot be had together"),
    ([], "--step"),
]


@pytest.mark.parametrize(("options", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_input_is_one_line_with_a_hint(asked, call, options, said):
    answer, _ = asked
    _, before, _ = call("runs", "list", "--json")
    code, out, err = call("fork", answer["run_id"], *options)
    assert code == 2 and said in err and out == "" and len(err.strip().splitlines()) == 1
    assert call("runs", "list", "--json")[1] == before


def test_a_file_of_edits_that_is_none_is_said(asked, call, tmp_path):
    answer, step = asked
    for raw, said in ((b"drop = [", "no TOML or JSON"), (b"\xff\xfe", "not UTF-8"), (b"drop = ['nope']", "no record")):
        file = tmp_path / "edits"
        file.write_bytes(raw)
        code, _, err = call("fork", answer["run_id"], "--step", step, "--edit", file)
        assert code == 2 and said in err
    assert call("fork", "nowhere", "--step", 1)[0] == 2


def test_a_resumed_fork_counts_tokens_as_its_parent_did(asked, call):
    answer, step = asked
    _, out, _ = call("fork", answer["run_id"], "--step", step, "--json")
    forked = json.loads(out)["run_id"]
    code, out, _ = call("runs", "resume", forked, "--json")
    assert code == 0 and json.loads(out)["answer"] == answer["answer"]


def test_the_help_shows_the_form_of_edits(call):
    code, out, _ = call("fork", "--help")
    assert code == 0 and "[[edit]]" in out and "[[add]]" in out and "--print-memory" in out


def test_a_limit_leaves_the_others_of_the_parent(call, command, book, tmp_path):
    _, out, _ = command("ask", book, "Who keeps the hives?", "--max-calls", "40", "--max-seconds", "900", "--json")
    run_id = json.loads(out)["run_id"]
    for options, expected in (
        ([], Budget(calls=40, seconds=900)),
        (["--max-tokens", "90000"], Budget(tokens=90_000, calls=40, seconds=900)),
        (["--max-calls", "30"], Budget(calls=30, seconds=900)),
    ):
        code, out, err = call("fork", run_id, "--step", 1, *options, "--json")
        assert code == 0, err
        with Library(load_config().workspace) as library:
            assert library.runs.get(json.loads(out)["run_id"]).budget == expected


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ('{"drop": ["ffff0000"]}', "holds no record 'ffff0000'"),
        ('{"add": [{"span": "nowhere:0-9"}]}', "nowhere"),
    ],
)
def test_edits_that_cannot_be_are_refused_before_anything_is_loaded(asked, call, tmp_path, monkeypatch, edits, said):
    answer, step = asked
    file = tmp_path / "edits.json"
    file.write_text(edits, encoding="utf-8")
    monkeypatch.setattr("rereader.runs.session.open_session", lambda *_, **__: pytest.fail("a session was opened"))
    code, out, err = call("fork", answer["run_id"], "--step", step, "--edit", file)
    assert (code, out) == (2, "") and said in err
