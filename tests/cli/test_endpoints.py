"""Asking through a model server from the shell: one line for what goes wrong, and runs that go on when it is back."""

import json
import os
import re
import subprocess
import sys

import pytest

from rereader.cli.main import run
from rereader.testing.chat_server import Act, ChatServer
from rereader.testing.sessions import quoting_reply
from rereader.testing.texts import essay, plant

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
KEY = "sk-never-shown-98765"
ROLES = ["--role=gister=none", "--role=scorer=none", "--role=embedder=hashing"]


def speak(text):
    return quoting_reply(f"<user>\n{text}\n")


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(plant(essay(4, 200), [FACT]), encoding="utf-8")
    return path


def test_a_server_answers_and_the_run_names_it_without_the_key(command, book, workspace, monkeypatch):
    monkeypatch.setenv("OWN_KEY", KEY)
    with ChatServer(speak, key=KEY) as server:
        reader = ["--model", "openai:fake", "--base-url", server.url, "--api-key-env", "OWN_KEY"]
        code, out, err = command("ask", *reader, book, QUESTION, "--json")
        answer = json.loads(out)
        counted = [usage for usage in server.seen if "5265" in str(usage.messages)]
        assert code == 0 and counted and any("5265" in item["quote"] for item in answer["evidence"])
        assert answer["models"]["reader"] == f"openai:fake@{server.url}#OWN_KEY"
        words = sum(5 + len(message["content"].split()) for message in server.seen[-1].messages)
        assert answer["usage"]["prompt_tokens"] == words
        asked = len(server.seen)
        again = json.loads(command("ask", *reader, book, QUESTION, "--json")[1])
        assert len(server.seen) == asked and again["usage"]["cached_calls"] == again["usage"]["calls"] > 0
        shown = command("show", answer["run_id"], "--json")
    kept = b"".join(path.read_bytes() for path in workspace.rglob("*") if path.is_file())
    assert KEY not in out + err + shown[1] and KEY.encode() not in kept


def test_the_server_dies_in_the_middle_and_the_run_goes_on_when_it_is_back(command, book, monkeypatch, tmp_path):
    config = tmp_path / "config.toml"
    server = ChatServer(speak, [Act()], then=Act(status=503, message="shutting down"))
    with server:
        config.write_text(f'[endpoints.big]\nmodel = "openai:fake"\nbase_url = "{server.url}"\nretries = 0\n')
        arguments = ["ask", "--model", "big", book, QUESTION, "--set", "reasoner=model", "--json"]
        code, out, err = command(*arguments)
        assert (code, json.loads(out)["answer"]) == (5, None) and err.count("error:") == 1 and "503" in err
        finished = [seen.body for seen in server.seen[:1]]
    code, _, err = command("runs", "list", "--json")
    [run] = json.loads(command("runs", "list", "--json")[1])
    assert run["status"] == "failed" and "503" in run["failure"]
    assert "failed: " in (said := command("show", run["id"])[1]) and "503" in said
    assert "it is failed: " in (said := command("show", run["id"], "--markdown")[1]) and "503" in said
    code, out, err = command("runs", "resume", run["id"])
    line = next(line for line in err.splitlines() if line.startswith("error:"))
    assert code == 5 and "No server answers" in line
    server.then = Act()
    with server:
        before = len(server.seen)
        code, out, _ = command("runs", "resume", run["id"], "--json")
    fresh = [seen.body for seen in server.seen[before:]]
    assert code in (0, 4) and "5265" in str(json.loads(out)["evidence"])
    assert fresh and not any(body in finished for body in fresh)
    assert json.loads(command("runs", "list", "--json")[1])[0]["failure"] is None


def configure(folder, server, **changes):
    """Make a server the endpoint ``big``."""
    settings = {"model": '"openai:fake"', "base_url": f'"{server.url}"', "retries": 0, **changes}
    lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
    (folder / "config.toml").write_text(f"[endpoints.big]\n{lines}\n")


WRONG = {
    "down": (None, {}, "No server answers"),
    "slow": (Act(seconds=60), {"timeout": 0.5}, "no reply within"),
    "wrong model": (Act(status=404, message="no such model"), {}, "does not know the model"),
    "wrong key": (Act(status=401), {}, "refuses the key"),
    "too long": (Act(status=400, message="context length exceeded"), {}, "too long"),
    "garbage": (Act(raw=b"<html>"), {}, "cannot be read"),
    "failing": (Act(status=500, message="out of order"), {"retries": 1}, "out of order). It was asked 2 times."),
    "busy": (Act(status=429, headers={"Retry-After": "3600"}), {}, "no more requests"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_is_one_line_and_exit_5(command, book, tmp_path, name):
    act, extra, said = WRONG[name]
    with ChatServer(then=act) as server:
        pass
    configure(tmp_path, server, **extra)
    if act is None:
        code, out, err = command("ask", "--model", "big", book, QUESTION)
    else:
        with server:
            code, out, err = command("ask", "--model", "big", book, QUESTION)
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert (code, len(errors)) == (5, 1)
    assert said in errors[0] and "Traceback" not in err
    assert out.lstrip().startswith("There is no answer. Found so far:")


def test_a_failed_run_shows_the_quotes_that_it_has_in_every_form_and_no_answer(command, book, tmp_path):
    with ChatServer(speak, then=Act(status=500, message="cold")) as server:
        configure(tmp_path, server)
        ask = ["ask", "--model", "big", book, QUESTION]
        code, out, err = command(*ask)
        assert code == 5 and "5265" in out and "verified" in out and "cold" in err
        code, out, _ = command(*ask, "--json")
        found = json.loads(out)
        assert (code, found["answer"], found["status"], found["notes"]) == (5, None, "failed", [])
        assert any("5265" in quote["quote"] and quote["verified"] for quote in found["evidence"])
        assert "cold" in found["failure"]
        code, out, _ = command(*ask, "--markdown", "--html", tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        for shown in (out, page):
            assert code == 5 and "The run has no answer; it is failed" in shown
            assert "Found so far" in shown and "5265" in shown
        assert 'id="claim-1"' not in page
        shown = json.loads(command("show", found["run_id"], "--json")[1])
        assert shown["answer"] is None and shown["so_far"]["evidence"] == found["evidence"]
        assert "5265" in command("show", found["run_id"])[1]
        server.then = Act()
        code, out, _ = command("runs", "resume", found["run_id"], "--json")
        assert (code, json.loads(out)["status"]) == (0, "answered")
    assert "so_far" not in json.loads(command("show", found["run_id"], "--json")[1])


def test_a_failed_run_shows_its_notes(command, book, tmp_path):
    acts = [Act(), Act()]
    with ChatServer(lambda _: "A note of 5265.", acts, then=Act(status=500)) as server:
        configure(tmp_path, server)
        ask = ["ask", "--model", "big", book, QUESTION, "--graph", "memory-agent", "--set", "block_tokens=500"]
        code, out, _ = command(*ask, "--json")
        found = json.loads(out)
        assert (code, found["answer"], found["notes"]) == (5, None, ["A note of 5265."])
        assert "A note of 5265." in command("show", found["run_id"])[1]


def test_a_run_that_fails_at_once_has_nothing_to_show(command, book, tmp_path):
    with ChatServer(then=Act(status=500)) as server:
        configure(tmp_path, server)
        ask = ["ask", "--model", "big", book, QUESTION, "--graph", "full-context"]
        code, out, _ = command(*ask)
        assert (code, out) == (5, "")
        found = json.loads(command(*ask, "--json")[1])
    assert (found["answer"], found["evidence"], found["notes"]) == (None, [], [])


def test_endpoints_are_shown_without_asking_them(command, tmp_path, monkeypatch):
    monkeypatch.setenv("OWN_KEY", KEY)
    text = '[endpoints.big]\nmodel = "openai:fake"\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "OWN_KEY"\n'
    (tmp_path / "config.toml").write_text(text)
    for arguments in (
        ["models", "list"],
        ["models", "list", "--json"],
        ["config", "show"],
        ["config", "show", "--json"],
    ):
        code, out, err = command(*arguments)
        assert code == 0 and "big" in out and "openai:fake" in out
        assert KEY not in out + err


BAD = {
    "address without a model": (["--base-url", "http://127.0.0.1:9/v1"], "--model openai:MODEL"),
    "a key for a variable": (
        ["--model", "x", "--base-url", "http://h/v1", "--api-key-env", KEY],
        "environment variable",
    ),
    "no scheme": (["--model", "openai:x", "--base-url", "127.0.0.1:9"], "http://"),
    "a scorer": (["--role", "scorer=openai:x@http://127.0.0.1:9/v1"], "lacks"),
    "no package": (["--model", "anthropic:claude"], "pip install langchain-anthropic"),
    "no key": (["--model", "openai:x@http://127.0.0.1:9/v1#NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_endpoint_is_bad_input(workspace, capsys, book, name):
    arguments, said = BAD[name]
    code = run(["ask", *ROLES, *arguments, str(book), QUESTION])
    err = capsys.readouterr().err
    assert code == 2 and said in err and KEY not in err


def test_importing_and_help_need_no_langchain():
    code = (
        "import sys; from rereader.cli.main import run; import rereader.models.endpoint; run(['ask', '--help']); "
        "print([m for m in ('langchain', 'langchain_openai', 'openai', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")
    assert re.search("--base-url", done.stdout)
