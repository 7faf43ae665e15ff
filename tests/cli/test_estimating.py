"""``rereader estimate``, and what ``ask`` and ``show`` say of estimates."""

import json

import pytest
from strongbox import QUESTION

from rereader.cli import estimating
from rereader.cli.main import run

WITHOUT = ["--model=extractive", "--role=gister=none", "--role=scorer=none", "--role=embedder=hashing"]


def test_estimate_as_a_table_and_as_json_stores_nothing(command, book):
    code, out, err = command("estimate", *WITHOUT, book, QUESTION)
    assert (code, err) == (0, "")
    assert "about " in out and "gate" in out and "on disk" in out
    found = json.loads(command("estimate", *WITHOUT, book, "--json", "-g", "retrieval")[1])
    assert found["seconds"] > 0
    assert {"chunk", "index", "retrieve", "answer"} <= {stage["stage"] for stage in found["stages"]}
    assert json.loads(command("documents", "--json")[1]) == []


def test_a_second_question_is_estimated_as_nearly_nothing(command, book):
    before = json.loads(command("estimate", *WITHOUT, book, "--json")[1])
    command("ask", book, QUESTION)
    after = json.loads(command("estimate", *WITHOUT, book, "Who reads the letter?", "--json")[1])
    assert before["disk"] > 0 and after["disk"] == 0
    assert before["embedded_tokens"] > 0 and after["embedded_tokens"] < before["embedded_tokens"] + 500
    workspace = json.loads(command("estimate", *WITHOUT, "Who reads the letter?", "--json")[1])
    assert workspace["disk"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["nowhere.txt", "Who?"], "nowhere.txt"), (["Who?"], "no document"), (["--graph", "x", "Who?"], "no document")],
)
def test_bad_input_gets_one_line(command, arguments, words):
    code, out, err = command("estimate", *WITHOUT, *arguments)
    assert (code, out, words in err) == (2, "", True)
    assert len(err.splitlines()) == 1


def test_ask_tells_beforehand_of_long_runs_only(command, book, monkeypatch):
    _, _, err = command("ask", book, QUESTION)
    assert "this will take" not in err
    monkeypatch.setattr(estimating, "LONG_SECONDS", 0.0)
    code, _, err = command("ask", book, "Who reads the letter?")
    assert code in (0, 4)
    assert "note: this will take about" in err
    assert "note: estimated" in err and "took" in err


def test_confirm_asks_first(command, book, monkeypatch):
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(__import__("typer").Abort()))
    code, out, err = command("ask", book, QUESTION, "--confirm")
    assert (code, out) == (130, "")
    assert "this will take" in err
    assert json.loads(command("runs", "list", "--json")[1]) == []


def test_show_compares_estimate_and_actual(command, book):
    answer = json.loads(command("ask", book, QUESTION, "--json")[1])
    out = command("show", answer["run_id"])[1]
    assert "estimated" in out and "took" in out
    steps = json.loads(command("show", answer["run_id"], "--json")[1])["steps"]
    assert steps[0]["detail"]["estimate"]["seconds"] > 0
    assert "estimate" not in [cell for cell in out.split() if cell.startswith("estimate{")]


@pytest.mark.parametrize(("seconds", "shown"), [(2.34, "2.3 s"), (60.2, "60 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_for_people(seconds, shown):
    assert estimating.duration(seconds) == shown


def test_estimate_has_help(capsys):
    assert run(["estimate", "--help"]) == 0
    assert "rereader estimate novel.txt" in capsys.readouterr().out
