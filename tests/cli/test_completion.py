"""What the shell offers at Tab, through the variables that Typer's completion scripts set."""

import os
import subprocess
import sys

import pytest

from rereader.cli.completion import graph_names
from rereader.graphs.registry import all_graphs
from rereader.testing.sessions import scripted_session


def offers(*words, **environment):
    """The offers for the last of the words, as bash would get them."""
    done = subprocess.run(
        [sys.executable, "-m", "rereader"], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "_REREADER_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["rereader", *words]),
             "COMP_CWORD": str(len(words)), **environment},
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


@pytest.fixture
def asked(workspace):
    session = scripted_session(workspace)
    document = session.library.documents.add(
        "The bees are kept by Anna.", title="bees.txt", source="-", loader="text/1"
    )
    runs = [session.ask("Who keeps the bees?", [document.id]).run_id for _ in range(2)]
    session.close()
    return document, runs


def test_run_ids_titles_and_ids(asked):
    document, runs = asked
    assert offers("show", "''") == [] or set(offers("show", "")) == set(runs)
    assert offers("open", runs[0][:6]) == [runs[0]]
    assert offers("remove", "be") == ["bees.txt"]
    assert offers("remove", document.id[:5]) == [document.id[:12]]


def test_a_workspace_named_on_the_line_is_looked_into(asked, workspace, tmp_path):
    _, runs = asked
    empty = {"REREADER_WORKSPACE": str(tmp_path / "none")}
    assert offers("show", runs[0][:6], **empty) == []
    assert not (tmp_path / "none").exists()
    assert offers("show", "--workspace", str(workspace), runs[0][:6], **empty) == [runs[0]]


def test_names(workspace):
    assert "qwen2.5-coder-1.5b" in offers("models", "pull", "q")
    assert offers("graphs", "draw", "retr") == ["retrieval"]
    assert offers("ask", "x", "--role", "embedder=h") == ["embedder=hashing"]
    assert offers("ask", "x", "--model", "extr") == ["extractive"]


def test_graph_names_are_those_of_the_registry():
    assert graph_names("") == [graph.name for graph in all_graphs()]


def test_a_damaged_library_or_configuration_offers_nothing(workspace, tmp_path):
    (workspace / "library.db").write_text("not a database")
    assert offers("show", "a") == []
    (tmp_path / "config.toml").write_text("graph = ")
    assert offers("show", "a", REREADER_CONFIG=str(tmp_path / "config.toml")) == []


def test_completing_loads_nothing_heavy(workspace):
    script = (
        "import sys\nfrom rereader.cli.main import application\napplication()\n"
        "heavy = ('torch', 'langgraph', 'faiss', 'transformers', 'langchain_core')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_completion_can_be_installed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rereader", "--install-completion", "bash"], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scripts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_REREADER_COMPLETE" in script or "COMPLETE" in script for script in scripts)
