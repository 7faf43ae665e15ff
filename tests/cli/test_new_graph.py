"""A graph that is begun on the command line works at once: listed, asked, conforming, measured like any other."""

import json
import os
import subprocess
import sys

import pytest

from rereader.graphs import registry

FILES = ["my_graph.py", "my_graph.md", "test_my_graph.py"]


@pytest.fixture
def mine(tmp_path):
    """Where graph files are looked for: beside the configuration that the fixture ``command`` names."""
    return tmp_path / "graphs"


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("The mill at Ulpelhala was sold in 1871. Nobody bought the barge.", encoding="utf-8")
    return path


def test_a_new_graph_is_listed_and_answers_at_once(command, mine, notes):
    code, out, err = command("graphs", "new", "my-graph")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in mine.iterdir()) == sorted(FILES)
    assert all(name in out for name in FILES) and "REREADER_GRAPHS" not in out
    listed = json.loads(command("graphs", "list", "--json")[1])
    assert [graph["origin"] for graph in listed if graph["name"] == "my-graph"] == [str(mine / "my_graph.py")]
    code, out, err = command("ask", notes, "When was the mill sold?", "--graph", "my-graph", "--json")
    answer = json.loads(out)
    assert (code, answer["graph"], answer["evidence"][0]["verified"]) == (0, "my-graph", True)
    assert "1871" in answer["answer"]
    code, out, _ = command("ask", notes, "Who bought the barge?", "--graph", "my-graph", "--set", "chunks=1")
    assert (code, "Nobody bought the barge" in out) == (0, True)
    assert "read" in command("graphs", "draw", "my-graph")[1]
    assert command("estimate", notes, "When?", "--graph", "my-graph", "--model", "extractive")[0] == 0


def test_its_own_test_passes_unchanged(command, tmp_path):
    folder = tmp_path / "a folder"
    code, out, _ = command("graphs", "new", "my-graph", "--folder", folder, "--json")
    made = json.loads(out)
    assert code == 0
    assert [made[kind] for kind in ("graph", "prompt", "test")] == [str(folder / name) for name in FILES]
    assert made["next"][0] == f"export REREADER_GRAPHS='{folder}'"
    environment = {**os.environ, "REREADER_CONFIG": os.devnull}
    environment.pop("REREADER_GRAPHS", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, made["test"]],
        capture_output=True, text=True, check=False, timeout=250, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_a_test_of_a_broken_new_graph_fails(command, tmp_path):
    command("graphs", "new", "my-graph", "--folder", tmp_path / "f")
    path = tmp_path / "f" / "my_graph.py"
    path.write_text(path.read_text().replace("@costs(read_cost)\n", ""))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path.with_name(FILES[2]), "-k", "costs"],
        capture_output=True, text=True, check=False, timeout=250, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "its costs declare 1" in done.stdout


def test_the_files_are_in_style(command, root, tmp_path):
    command("graphs", "new", "my-graph", "--folder", tmp_path / "f")
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--config", root / "pyproject.toml", tmp_path / "f" / FILES[0]],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name",
    ["", "My-Graph", "my_graph", "-my", "my-", "my--graph", "1st", "grüße", "a/b", "../up", "a.b", "a" * 61, "a\n"],
)
def test_a_bad_name_is_refused(command, mine, name):
    code, _, err = command("graphs", "new", "--", name)
    assert code == 2
    assert "is no name for a graph" in err and "my-graph" in err
    assert not mine.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("retrieval", "taken by rereader.graphs.retrieval"),
        ("json", "the name of a Python module"),
        ("pytest", "the name of a Python module"),
        ("test-it", "taken for a test"),
        ("conftest", "taken for a test"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused(command, mine, name, reason):
    for more in ([], ["--force"]):
        code, _, err = command("graphs", "new", name, *more)
        assert (code, mine.exists()) == (2, False)
        assert reason in err


def test_files_are_overwritten_only_by_force(command, mine):
    command("graphs", "new", "my-graph")
    (mine / FILES[1]).write_text("my own words")
    code, _, err = command("graphs", "new", "my-graph")
    assert (code, "taken by" in err) == (2, True)
    (mine / FILES[0]).unlink()
    registry._GRAPHS.pop("my-graph")
    code, _, err = command("graphs", "new", "my-graph")
    assert (code, "my_graph.md, test_my_graph.py" in err, "--force" in err) == (2, True, True)
    assert (mine / FILES[1]).read_text() == "my own words"
    assert command("graphs", "new", "my-graph", "--force")[0] == 0
    assert "slots: text, question" in (mine / FILES[1]).read_text()


def test_a_prompt_that_is_gone_or_malformed_is_said(command, mine, tmp_path):
    from rereader.prompts.loader import load_file
    from rereader.schema import InputError

    command("graphs", "new", "my-graph")
    path = mine / FILES[1]
    assert load_file(path).slots == ("text", "question")
    path.write_text(path.read_text().replace("{text}", "{txt}"))
    with pytest.raises(InputError, match=r"my_graph\.md is malformed"):
        load_file(path)
    path.unlink()
    with pytest.raises(InputError, match="no prompt file"):
        load_file(path)


def test_a_broken_file_of_ones_own_is_said_in_one_line(mine, workspace, tmp_path):
    mine.mkdir()
    (mine / "odd.py").write_text("import nowhere_to_be_found")
    done = subprocess.run(
        [sys.executable, "-m", "rereader", "graphs", "list"],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "REREADER_CONFIG": str(tmp_path / "config.toml")},
    )  # fmt: skip
    assert done.returncode == 0
    assert "retrieval" in done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"warning: The graph file {mine / 'odd.py'} could not be loaded: ModuleNotFoundError")
