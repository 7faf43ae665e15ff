"""The command line, run in this process on models that need no weights."""

import sys

import pytest
from strongbox import write_book

from rereader.cli.main import run
from rereader.graphs import registry

WITHOUT_MODELS = ["--model", "extractive", *(f"--role={r}" for r in ("gister=none", "scorer=none", "embedder=hashing"))]


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Graphs of files that a command registers are gone afterwards."""
    registry.all_graphs()
    for name in ("_GRAPHS", "_TRIED", "_BROKEN"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())
    before = set(sys.modules)
    yield
    for name in [name for name in sys.modules.keys() - before if name.startswith("rereader_graph_")]:
        del sys.modules[name]


@pytest.fixture
def sentences():
    """How long the book is; a module that asks models reads a short one."""
    return 300


@pytest.fixture
def book(tmp_path, sentences):
    """A book that answers the usual question."""
    return write_book(tmp_path / "book.txt", sentences)


@pytest.fixture
def command(workspace, tmp_path, monkeypatch, capsys):
    """Run a command: ``(exit code, standard output, standard error)``."""
    monkeypatch.setenv("REREADER_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("REREADER_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        extra = WITHOUT_MODELS if arguments[0] == "ask" else WITHOUT_MODELS[2:] if arguments[0] == "add" else []
        code = run([arguments[0], *extra, *(str(a) for a in arguments[1:])])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
