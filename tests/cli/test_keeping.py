"""``doctor --repair``, ``gc``, ``backup`` and ``restore`` as a user has them."""

import json
import sqlite3
import time
from contextlib import closing

import pytest
from strongbox import QUESTION

from rereader.cli.collecting import parse_size
from rereader.memory.library import Library
from rereader.memory.locks import caring
from rereader.schema import Budget, InputError


@pytest.fixture
def sentences():
    return 60


@pytest.fixture
def asked(command, book, workspace):
    for question in (QUESTION, "Who keeps the bees?"):
        command("ask", book, question, "--quiet")
    return workspace


def harm(workspace, statement):
    with closing(sqlite3.connect(workspace / "library.db", isolation_level=None)) as connection:
        connection.execute(statement)


def test_repair_says_what_it_did_and_the_code_says_what_is_left(command, asked):
    harm(asked, "DROP TABLE fulltext_1")
    assert command("doctor")[0] == 1
    code, out, _ = command("doctor", "--repair")
    assert code == 0 and "mended   1 full-text index was made again" in out and "1 mended" in out
    harm(asked, "UPDATE text_blocks SET text = replace(text, '5265', '5266')")
    harm(asked, "DELETE FROM vectors WHERE ordinal = 1")
    code, out, _ = command("doctor", "--repair", "--json")
    told = json.loads(out)
    assert (code, told["well"]) == (1, False)
    assert [row["state"] for row in told["repaired"]] == ["mended"]
    assert any("stand nowhere" in row["what"] and "restore" in row["mend"] for row in told["findings"])


def test_repair_upgrades_and_makes_no_workspace(command, workspace, tmp_path):
    assert command("doctor", "--repair")[0] == 0
    assert not (workspace / "library.db").exists()


def test_gc(command, asked):
    code, out, _ = command("gc", "--keep-last", "1", "--dry-run", "--json")
    plan = json.loads(out)
    assert (code, plan["dry_run"], plan["goes"], plan["before"]) == (0, True, {"runs": 1}, plan["after"])
    assert len(json.loads(command("runs", "list", "--json")[1])) == 2
    assert command("gc", "--keep-last", "1")[0] == 2  # nobody is there to say yes
    code, out, _ = command("gc", "--keep-last", "1", "--yes")
    assert code == 0 and out.startswith("gone: 1 run, ")
    assert len(json.loads(command("runs", "list", "--json")[1])) == 1
    assert command("doctor")[0] == 0
    code, _, err = command("gc", "--max-size", "1kB")
    assert (code, "more than --max-size" in err) == (1, True)


def test_gc_deletes_no_run_that_came_to_be_needed_while_it_asked(command, asked, monkeypatch):
    with Library(asked) as library:
        newest, oldest = (run.id for run in library.runs.all())
        for run in (newest, oldest):
            library.database.execute("UPDATE runs SET updated_at = 0 WHERE id = ?", (run,))
    questions = []

    def meanwhile(question, _otherwise):
        questions.append(question)
        with caring(asked), Library(asked) as library:  # nor does it keep others from their work
            library.database.execute("UPDATE runs SET updated_at = ? WHERE id = ?", (time.time(), oldest))
            again = {"settings": {}, "models": {}, "budget": Budget(), "document_ids": []}
            library.runs.create("abcdef", question="Again?", graph="retrieval", **again)
            library.database.execute("UPDATE runs SET updated_at = 0, status = 'interrupted' WHERE id = 'abcdef'")
        return True

    monkeypatch.setattr("rereader.cli.collecting.agreed", meanwhile)
    code, out, _ = command("gc", "--older-than", "30")
    assert (code, questions, out.startswith("gone: 1 run, ")) == (0, ["Delete 2 runs?"], True)
    with Library(asked) as library:
        assert {run.id for run in library.runs.all()} == {oldest, "abcdef"}


@pytest.mark.parametrize(
    "wrong", [("--max-size", "ten"), ("--drop", "wood"), ("--older-than", "-1"), ("--workspace", "nowhere")]
)
def test_wrong_wishes_are_refused(command, asked, wrong):
    code, _, err = command("gc", *wrong)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1


def test_there_and_back(command, asked, tmp_path):
    file, new = tmp_path / "all.zip", tmp_path / "new"
    code, out, _ = command("backup", file)
    assert code == 0 and "Saved 3 parts" in out
    assert command("backup", file)[0] == 2 and command("backup", file, "--replace")[0] == 0
    assert command("restore", file)[0] == 2  # it would take the place of what is there
    code, out, _ = command("restore", file, "--workspace", new, "--json")
    assert (code, json.loads(out)["parts"]) == (0, 3)
    assert command("runs", "list", "--json", "--workspace", new)[1] == command("runs", "list", "--json")[1]
    assert command("doctor", "--measure", "--workspace", new)[0] == 0
    [first, _] = sorted((asked / "runs").glob("*.sqlite"))
    first.write_bytes(b"no database at all" * 300)
    code, out, err = command("backup", file, "--replace")
    assert code == 1 and "Saved 2 parts" in out and err.count("left out") == 1 and str(first) in err
    file.write_bytes(file.read_bytes()[:-30])
    code, _, err = command("restore", file, "--replace")
    assert code == 2 and "no backup" in err and (asked / "library.db").exists()


@pytest.mark.parametrize(("text", "size"), [("12", 12), ("1.5 kB", 1500), ("2GiB", 2 << 30), ("20gb", 20 * 10**9)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1MB", "1PB", "1e3", "٣GB"])
def test_no_sizes(text):
    with pytest.raises(InputError):
        parse_size(text)
