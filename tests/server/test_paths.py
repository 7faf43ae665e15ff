"""What a server and a run's file tell names no path of the machine, whatever a path was given for."""

import base64
import gzip
import json
import re
from pathlib import Path

import pytest
from served import app_of, client_of

from rereader.config import Config
from rereader.memory.runs import Step
from rereader.schema import Record, RecordKind, Usage
from rereader.server.asked import ForkAsked
from rereader.server.work import fork_task
from rereader.testing.serving import scripted_backend

SECRET = "/srv/anna"
MODEL = f"{SECRET}/models/tiny"


@pytest.fixture
def told_of(backend, asked):
    """A run in which every place where a path can stand holds one."""
    library = backend.library
    run = library.runs.get(asked[1].run_id)
    answer = run.answer.model_copy(
        update={"models": {"reader": MODEL}, "warnings": [f"Read {SECRET}/a.txt and {library.workspace}/library.db."]}
    )
    library.database.execute(
        "UPDATE runs SET models = ?, settings = ?, answer = ?, failure = ? WHERE id = ?",
        (
            json.dumps({**run.models, "reader": MODEL}),
            json.dumps({**run.settings, "trained_gate": f"{SECRET}/gate.bin"}),
            answer.model_dump_json(),
            f"Cannot read {SECRET}/b.txt.",
            run.id,
        ),
    )
    note = Record.create(run_id=run.id, kind=RecordKind.NOTE, content="A note.", agent="a", model=MODEL)
    last = library.runs.steps_alone(run.id)[-1]
    version = library.working_memory(run.id).write(last.memory_version, [("note", note)])
    detail = {"file": f"{SECRET}/c.txt", "warnings": [f"No {SECRET}/d.txt."]}
    library.runs.add_step(run.id, Step(last.number + 1, "read", 0.0, 0.5, version, detail, Usage()), run.usage)
    return library.runs.get(run.id), note


def test_no_answer_of_the_server_names_a_path(client, backend, told_of):
    run, note = told_of
    here = f"/api/runs/{run.id}"
    last = backend.library.runs.step_numbers(run.id)[-1]
    other = backend.library.runs.create(
        "f" * 12,
        question="Who?",
        graph=run.graph,
        settings={},
        models={"reader": f"{SECRET}/other/tiny"},
        budget=run.budget,
        document_ids=run.document_ids,
    )
    paths = ["/api/runs", here, f"{here}/steps/{last}", f"{here}/records?ids={note.id}", f"{here}/diff/{other.id}"]
    paths += [f"{here}/{name}" for name in ("outline", "chunks", "blame", "heat", f"memory?step={last}")]
    for path in paths:
        found = client.get(path)
        assert found.status_code == 200, path
        assert SECRET not in found.text and str(backend.library.workspace.parent) not in found.text, path
    told = client.get(here).json()["run"]
    assert told["models"]["reader"] == told["answer"]["models"]["reader"] == "tiny"
    assert (told["failure"], told["settings"]["trained_gate"]) == ("Cannot read b.txt.", "gate.bin")
    assert told["answer"]["warnings"] == ["Read a.txt and workspace/library.db."]
    step = client.get(f"{here}/steps/{last}").json()
    assert step["detail"] == {"file": "c.txt", "warnings": ["No d.txt."]}
    assert step["memory"]["added"][0]["record"]["model"] == "tiny"
    assert client.get(f"{here}/records?ids={note.id}").json()[note.id]["model"] == "tiny"
    differing = client.get(f"{here}/diff/{other.id}").json()["models"]
    assert {"name": "reader", "one": "tiny", "other": "tiny"} in differing  # two paths that end in one name


def test_the_file_of_a_run_names_no_path(client, told_of, backend, tmp_path):
    from rereader.cli.main import run as command

    run, _ = told_of
    file = tmp_path / "run.html"
    assert command(["show", run.id, "--html", str(file), "--workspace", str(backend.library.workspace)]) == 0
    for page in (client.get(f"/api/runs/{run.id}/page").text, file.read_text(encoding="utf-8")):
        data = re.search(r'id="stored">([^<]+)<', page)[1]
        held = gzip.decompress(base64.b64decode(data)).decode()
        assert "Cannot read b.txt." in held and '"tiny"' in held
        for text in (held, page):
            assert SECRET not in text and str(backend.library.workspace.parent) not in text


def test_a_fork_of_a_run_whose_model_is_a_path_keeps_it_unless_it_is_changed(backend, told_of):
    run, _ = told_of
    task = fork_task(backend, run.id, ForkAsked(step=1))
    assert task.wanted.names.reader == MODEL
    assert fork_task(backend, run.id, ForkAsked(step=1, models={"reader": "extractive"})).wanted.names.reader != MODEL


@pytest.mark.parametrize("folder", [".", "../work space", "work space"])
def test_a_workspace_named_from_here_takes_nothing_out_of_what_is_said(tmp_path, monkeypatch, folder):
    (tmp_path / "work space").mkdir()
    monkeypatch.chdir(tmp_path if folder == "work space" else tmp_path / "work space")
    with client_of(app_of(scripted_backend(Path(folder)))) as client:
        found = client.get("/api/runs/nope").json()
        assert found == {
            "error": "There is no run 'nope' in the workspace.",
            "hint": "See the page of runs.",
        }
        assert client.get("/api/about").json()["workspace"] == "work space"


def test_a_hint_is_not_taken_for_a_path(client):
    found = client.post("/api/documents?name=/", content=b"x")
    assert found.status_code == 422
    assert found.json() == {"error": "The file has no name.", "hint": "Say it as ?name=novel.txt"}


def test_folders_are_known_as_they_were_named_and_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    folders = Config(workspace=Path("link"), models_dir=Path(), graphs_dir=tmp_path / "none").private_folders
    assert set(folders) == {tmp_path / "link", tmp_path / "there", tmp_path, tmp_path / "none"}
