"""What is missing on the machine, or too much for the model, through the command line: one line, code 2."""

import json
import shutil
import subprocess
import sys

import pytest
from hostile_files import docx
from local_models import save_tiny

from rereader.cli.main import run

QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
OTHERS = [f"--role={role}" for role in ("gister=none", "scorer=none", "embedder=hashing")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with random weights and a window of 2,048 tokens."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("graph", ["retrieval", "memory-agent", "gist-lookup", "full-context", "recursive"])
def test_a_question_longer_than_the_window(command, book, folder, graph, capsys):
    code = run(["ask", str(book), "word " * 6_000 + "?", "--graph", graph, "--model", str(folder), *OTHERS])
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert (code, len(lines)) == (2, 1), err
    assert "Internal error" not in err


def test_a_package_that_reads_documents_is_missing(command, tmp_path, monkeypatch):
    (tmp_path / "a.docx").write_bytes(docx("<w:p><w:r><w:t>Bees.</w:t></w:r></w:p>"))
    monkeypatch.setitem(sys.modules, "docx", None)
    code, out, err = command("ask", tmp_path / "a.docx", QUESTION)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "pip install 'rereader[documents]'" in err
    assert json.loads(command("documents", "--json")[1]) == []


def test_the_packages_that_run_models_are_missing(workspace, book, folder):
    code = "import sys; sys.modules.update(torch=None, transformers=None); from rereader.cli.main import main; main()"
    arguments = ["ask", str(book), QUESTION, "--model", str(folder), *OTHERS]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
    assert "pip install 'rereader[local]'" in lines[0]


def test_a_folder_with_pickled_weights_is_no_model(command, book, tmp_path, folder, capsys):
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    code = run(["ask", str(book), QUESTION, "--model", str(pickled), *OTHERS])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert code in (2, 5) and len(lines) == 1 and "safetensors" in lines[0]


def test_a_folder_that_brings_code_is_no_model(command, book, tmp_path, folder, capsys):
    coded = tmp_path / "coded"
    shutil.copytree(folder, coded)
    taken = tmp_path / "taken"
    config = json.loads((coded / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "mine.py").write_text(f"open({str(taken)!r}, 'w')")
    code = run(["ask", str(book), QUESTION, "--model", str(coded), *OTHERS])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert code in (2, 5) and len(lines) == 1
    assert not taken.exists()
