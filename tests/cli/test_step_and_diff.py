"""``rereader show RUN --step`` and ``rereader diff`` on the command line."""

import json
import time

import pytest
from long_runs import RUN, write_long_run

from rereader.cli.diff import parted
from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.differences import Parting
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
SETTINGS = {"block_tokens": 200, "memory_tokens": 50, "decline_below": 0}


@pytest.fixture
def runs(workspace):
    """Ids of two runs of memory-agent, whose memories are numbered through."""
    count = iter(range(1000))
    reader = ScriptedModel(lambda prompt: f"\x1b[31m[b]known[/b] {next(count)}", name="reader")
    session = scripted_session(workspace, Models(reader=reader, embedder=HashingEmbedder()))
    document = session.library.documents.add(plant(essay(1, 90), [FACT]), title="t.txt", source="t", loader="text/1")
    asked = [
        session.ask(question, [document.id], graph="memory-agent", settings=SETTINGS).run_id
        for question in (QUESTION, "What is known?")
    ]
    session.close()
    return asked


def test_a_step_is_shown_with_memory_prompt_and_reply(command, runs):
    code, out, _ = command("show", runs[0][:6], "--step", "3")
    assert code == 0
    for told in (QUESTION, "step 3 of", "read", "Working memory v1 to v2: 1 entry before, 1 after", "~ note"):
        assert told in out
    assert "[b]known[/b] [-0-]{+1+}" in out  # no colours here, so the change is marked
    assert "Call 1: reader generate, remember@" in out and "<memory>" in out and "reply" in out
    assert "\x1b" not in out


def test_chunks_considered_and_quotes_added_are_listed(command, book):
    command("ask", book, "Where is the strongbox?", "--set", "chunk_tokens=100", "--set", "accept=1")
    run = json.loads(command("runs", "list", "--json")[1])[0]["id"]
    steps = json.loads(command("show", run, "--json")[1])["steps"]
    gate, reason = (next(s for s in steps if s["node"] == node) for node in ("gate", "reason"))
    out = command("show", run, "--step", gate["number"])[1]
    assert f"Gate: 1 of {len(gate['detail']['decisions'])} chunks let in" in out
    assert sum("book.txt" in line for line in out.splitlines()) == len(gate["detail"]["decisions"])
    out = command("show", run, "--step", reason["number"])[1]
    assert f"Evidence: {len(reason['detail']['scores'])} quotes added" in out and "+ quote" in out


def test_the_json_of_a_step_is_whole(command, runs):
    found = json.loads(command("show", runs[0], "--step", "3", "--json")[1])
    assert (found["number"], found["node"], found["run_id"]) == (3, "read", runs[0])
    assert set(found) >= {"usage", "detail", "memory", "decisions", "evidence", "calls", "started_at", "seconds"}
    [pair] = found["memory"]["superseded"]
    assert "".join(part["text"] for part in pair["diff"] if part["kind"] != "removed") == pair["new"]["content"]
    [asked] = found["calls"]
    assert "[b]known[/b] 0" in "".join(part["text"] for part in asked["prompt"]["parts"])
    assert asked["call"]["reply"] == pair["new"]["content"]


def test_a_prompt_that_is_gone_is_not_shown(command, runs, workspace):
    with Library(workspace) as library:
        library.database.execute("UPDATE step_calls SET template = 'remember@0000000000000000'")
    out = command("show", runs[0], "--step", "3")[1]
    assert "The prompt cannot be shown. The prompt file remember.md has changed since" in out
    assert "<memory>" not in out and "reply" in out
    [asked] = json.loads(command("show", runs[0], "--step", "3", "--json")[1])["calls"]
    assert asked["prompt"]["parts"] is None and "changed" in asked["prompt"]["reason"]


@pytest.mark.parametrize("step", ["0", "99", "-1"])
def test_a_step_that_is_not_there_names_the_range(command, runs, step):
    code, out, err = command("show", runs[0], f"--step={step}")
    assert (code, out) == (2, "") and f"has no step {step}. Its steps are 1 to " in err


@pytest.mark.parametrize("other", [("--heat",), ("--markdown",), ("--html", "x.html")])
def test_a_step_goes_with_json_only(command, runs, other):
    code, _, err = command("show", runs[0], "--step", "2", *other)
    assert code == 2 and f"--step and {other[0]} cannot be had together" in err


def test_the_memory_at_two_steps(command, runs):
    out = command("diff", runs[0], "2", "5")[1]
    assert "step 2 against step 5" in out and "known[/b] [-0-]{+3+}" in out
    out = command("diff", runs[0], "0", "2")[1]
    assert "Working memory v0 to v1: 0 entries before, 1 after" in out and "+ note" in out
    found = json.loads(command("diff", runs[0], "2", "5", "--json")[1])
    assert (found["first"], found["last"], len(found["superseded"])) == (2, 5, 1)


def test_two_runs(command, runs):
    out = command("diff", *runs)[1]
    assert out.splitlines()[0].startswith("[-With which number does") and "{+What is known+}?" in out
    assert runs[0] in out and runs[1] in out and "memory-agent" in out
    assert "Step 2, read: the prompts of calls 1 differ." in out
    found = json.loads(command("diff", *runs, "--json")[1])
    assert found["parting"]["what"] == "prompt" and found["one"]["id"] == runs[0]
    assert found["one"]["usage"]["calls"] > 0 and found["settings"] == []


def test_colours_take_the_place_of_marks_on_a_terminal(command, runs, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = command("diff", runs[0], "2", "5")[1]
    assert "[-" not in out and "\x1b[32m3\x1b[0m" in out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "[-0-]{+3+}" in command("diff", runs[0], "2", "5")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("9",), "'9' alone is no run to compare with"),
        (("2000",), "'2000' alone is no run to compare with"),
        (("zzzz",), "There is no run 'zzzz'"),
        (("1", "x"), "'x' is not the number of a step"),
        (("-1", "2"), "-1"),
        (("0", "99"), "has no step 99"),
    ],
)
def test_what_cannot_be_compared_is_told(command, runs, arguments, message):
    code, out, err = command("diff", runs[0], *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_where_runs_part_is_said_in_words():
    assert parted(None).startswith("Nowhere")
    assert parted(Parting(3, (None, "read"), "end")) == "Step 3: one run has ended; the other goes on with read."
    assert parted(Parting(3, ("gate", "read"), "node")) == "Step 3: gate in one run, read in the other."
    for what in ("prompt", "reply", "detail", "memory"):
        told = parted(Parting(3, ("a", "a"), what, ("x",)))
        assert told.startswith("Step 3, a: ") and "x" in told.removeprefix("Step 3, a: ")


def test_a_step_of_a_long_run_is_shown_at_once(command, workspace):
    with Library(workspace) as library:
        write_long_run(library)
    command("show", RUN, "--step", "1")  # what is loaded on first use
    began = time.monotonic()
    code, out, _ = command("show", RUN, "--step", "2000", "--json")
    took = time.monotonic() - began
    assert code == 0 and len(json.loads(out)["memory"]["after"]) == 2001
    assert took < 4


def test_a_fork_at_step_0_is_told_as_a_fork(command, book):
    command("ask", book, "Where is the strongbox?")
    run = json.loads(command("runs", "list", "--json")[1])[0]["id"]
    forked = json.loads(command("fork", run, "--step", "0", "--json")[1])["run_id"]
    lines = command("diff", run, forked)[1].splitlines()
    assert [line.split() for line in lines if line.startswith("forked")] == [["forked", run, "after", "step", "0"]]
