"""What an asker does from the shell: add, ask, list, show, follow up, resume, remove."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from strongbox import QUESTION, write_book

from rereader.memory.library import Library


def test_ask_prints_answer_quote_line_and_cost(command, book):
    code, out, err = command("ask", book, QUESTION)
    assert code == 0
    assert "5265" in out
    assert "book.txt, line " in out
    assert "verified" in out and "calls" in out and "seconds" not in err
    assert "\x1b" not in out


def test_ask_json_is_the_stable_schema(command, book):
    code, out, _ = command("ask", book, QUESTION, "--json", "--quiet")
    answer = json.loads(out)
    assert code == 0
    assert answer["schema_version"] == 1
    text = book.read_text()
    assert all(text[e["start"] : e["end"]] == e["quote"] for e in answer["evidence"])


def test_follow_up_list_show_documents_and_remove(command, book, workspace):
    first = json.loads(command("ask", book, QUESTION, "--json")[1])
    code, out, _ = command("ask", "--run", first["run_id"][:6], "Where does the winter road end?", "--json")
    assert code in (0, 4)
    assert json.loads(out)["usage"]["seconds"]["index"] < 1
    assert first["run_id"] in command("runs", "list")[1]
    assert (
        "retriev"
        in command("show", json.loads(command("ask", book, QUESTION, "--json", "-g", "retrieval")[1])["run_id"])[1]
    )
    shown = json.loads(command("show", first["run_id"], "--json")[1])
    assert [step["node"] for step in shown["steps"]][-1] == "finish"
    [document] = json.loads(command("documents", "--json")[1])
    assert document["title"] == "book.txt"
    code, out, _ = command("remove", document["id"][:8], "--yes")
    assert (code, "3 runs" in out) == (0, True)
    assert json.loads(command("documents", "--json")[1]) == []


def test_add_twice_is_idempotent_and_a_changed_file_is_a_new_version(command, book):
    first = json.loads(command("add", book, "--json")[1])
    assert json.loads(command("add", book, "--json")[1]) == first
    book.write_text(book.read_text() + "One more sentence.", encoding="utf-8")
    second = json.loads(command("add", book, "--json")[1])
    assert second[0]["id"] != first[0]["id"]
    assert len(json.loads(command("documents", "--json")[1])) == 2


def test_the_whole_workspace_is_asked_without_files(command, book):
    command("add", book)
    code, out, _ = command("ask", QUESTION)
    assert (code, "5265" in out) == (0, True)


def test_a_spent_budget_has_its_own_exit_code(command, book):
    code, _, _ = command("ask", book, QUESTION, "--max-seconds", "0")
    assert code in (0, 3)  # without a model nothing is spent but time


def test_graphs_are_listed_and_drawn(command, tmp_path):
    assert "compressed-memory" in command("graphs", "list")[1]
    listed = {graph["name"]: graph for graph in json.loads(command("graphs", "list", "--json")[1])}
    assert listed["compressed-memory"]["settings"]["waves"] == 3
    assert "gate" in command("graphs", "draw", "compressed-memory")[1]
    picture = tmp_path / "graph.png"
    assert command("graphs", "draw", "compressed-memory", "--png", picture)[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_models_and_config_are_shown(command, workspace):
    assert "smollm2-135m" in command("models", "list")[1]
    assert "Apache-2.0" in command("models", "show", "tiny")[1]
    assert str(workspace) in command("config", "show")[1]
    assert command("config", "path")[1].strip().endswith("config.toml")


@pytest.mark.parametrize("group", [[], ["ask"], ["add"], ["runs", "resume"], ["graphs", "draw"], ["models", "pull"]])
def test_help_has_examples(command, group):
    code, out, _ = command(*group, "--help") if group else command("--help")
    assert code == 0
    assert "rereader" in out


BAD = {
    "missing file": (["ask", "nowhere.txt", "Who?"], 2, "nowhere.txt"),
    "empty file": (["ask", "empty.txt", "Who?"], 2, "empty"),
    "binary file": (["ask", "binary.bin", "Who?"], 2, "binary"),
    "folder without text": (["ask", "folder", "Who?"], 2, "folder"),
    "wrong encoding": (["ask", "latin.txt", "Who?", "--encoding", "utf-8"], 2, "utf-8"),
    "unknown encoding": (["ask", "latin.txt", "Who?", "--encoding", "klingon"], 2, "klingon"),
    "unknown graph": (["ask", "book.txt", "Who?", "--graph", "retreival"], 2, "Did you mean 'retrieval'"),
    "unknown model": (["ask", "book.txt", "Who?", "--role", "scorer=smolm2"], 2, "smolm2"),
    "model that is not pulled": (["ask", "book.txt", "Who?", "--role", "scorer=tiny"], 2, "models pull"),
    "empty model": (["ask", "book.txt", "Who?", "--model", " "], 2, "--model is empty"),
    "unknown role": (["ask", "book.txt", "Who?", "--role", "poet=tiny"], 2, "poet"),
    "unknown setting": (["ask", "book.txt", "Who?", "--set", "wave=3"], 2, "waves"),
    "setting of the wrong kind": (["ask", "book.txt", "Who?", "--set", "waves=many"], 2, "waves"),
    "setting that is no pair": (["ask", "book.txt", "Who?", "--set", "waves"], 2, "NAME=VALUE"),
    "empty question": (["ask", "book.txt", " "], 2, "question is empty"),
    "question missing": (["ask", "book.txt"], 2, "question is missing"),
    "question missing after files": (["ask", "book.txt", "latin.txt"], 2, "question is missing"),
    "negative budget": (["ask", "book.txt", "Who?", "--max-tokens", "-5"], 2, "negative"),
    "setting out of bounds": (["ask", "book.txt", "Who?", "--set", "waves=0"], 2, "waves"),
    "unknown graph for add": (["add", "book.txt", "--graph", "retreival"], 2, "Did you mean 'retrieval'"),
    "gist that needs a gister": (["add", "book.txt", "--gist", "magic"], 2, "gist"),
    "budget that is no number": (["ask", "book.txt", "Who?", "--max-seconds", "nan"], 2, "negative"),
    "unknown run": (["show", "beef"], 2, "no run"),
    "unknown document": (["remove", "beefbeef", "--yes"], 2, "no document"),
    "nothing to ask": (["ask", "Who?"], 2, "no document"),
    "unknown option": (["ask", "book.txt", "Who?", "--colour"], 2, "--colour"),
    "unknown command": (["aks", "Who?"], 2, "aks"),
    "unknown drawing": (["graphs", "draw", "x"], 2, "no graph"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(command, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("Some text that can be read.")
    (tmp_path / "latin.txt").write_bytes("Größe und Länge".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "folder").mkdir()
    arguments, code, words = BAD[case]
    got, out, err = command(*arguments)
    assert (got, out) == (code, "")
    assert words in err
    assert len([line for line in err.splitlines() if not line.startswith("note:")]) == 1
    assert "Traceback" not in err
    assert json.loads(command("runs", "list", "--json")[1]) == []
    assert json.loads(command("documents", "--json")[1]) == []


def test_a_damaged_configuration_is_named(command, tmp_path):
    (tmp_path / "config.toml").write_text("graph = ")
    code, _, err = command("config", "show")
    assert (code, "config.toml" in err) == (2, True)


def test_a_read_only_workspace_is_named(command, book, tmp_path):
    (tmp_path / "flat").write_text("a file, not a folder")
    code, _, err = command("ask", book, QUESTION, "--workspace", tmp_path / "flat" / "ws")
    assert (code, "--workspace" in err) == (2, True)


def test_standard_input_is_a_document(workspace, tmp_path, book):
    done = subprocess.run(
        [sys.executable, "-m", "rereader", "ask", "-", QUESTION, "--json", "--model=extractive",
         "--role=gister=none", "--role=scorer=none", "--role=embedder=hashing"],
        input=book.read_bytes(), capture_output=True, check=False, timeout=120,
        env={**os.environ, "REREADER_MODELS": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5265" in json.loads(done.stdout)["answer"]


def test_control_c_stops_an_add_and_the_next_one_goes_on(workspace, tmp_path):
    path = write_book(tmp_path / "long.txt", 60_000, seed=2)
    arguments = [sys.executable, "-m", "rereader", "add", str(path), "--role=gister=none", "--role=scorer=none",
                 "--role=embedder=hashing", "--set=memory=raw"]  # fmt: skip
    environment = {**os.environ, "REREADER_MODELS": str(tmp_path), "REREADER_MODEL": "extractive"}
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    vectors = workspace / "library.db"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and not _vectors(vectors):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    before = _vectors(vectors)
    assert before > 0
    done = subprocess.run(arguments, env=environment, capture_output=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert _vectors(vectors) > before


def _vectors(database):
    import sqlite3

    if not database.exists():
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_json_is_to_the_letter(command, tmp_path):
    path = tmp_path / "signs.txt"
    path.write_text("The sign of the inn says :bee: and :key: in [bold]gold[/bold] letters.")
    answer = json.loads(command("ask", path, "What does the sign of the inn say?", "--json")[1])
    assert ":bee: and :key: in [bold]gold[/bold]" in answer["evidence"][0]["quote"]
    assert ":bee: and :key: in [bold]gold[/bold]" in command("show", answer["run_id"])[1]


def test_a_question_longer_than_a_file_name_is_a_question(command, book):
    code, _, err = command("ask", book, QUESTION + " Tell me all of it." * 30)
    assert code in (0, 4), err


def test_a_killed_run_is_not_shown_as_running(command, book, workspace):
    answer = json.loads(command("ask", book, QUESTION, "--json")[1])
    with Library(workspace) as library:
        library.runs.update(answer["run_id"], status="running")
    [run] = json.loads(command("runs", "list", "--json")[1])
    assert run["status"] == "interrupted"
