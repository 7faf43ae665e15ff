"""Workspaces that older versions made open, are upgraded, show their runs as they were, and are gone on with.

``scripts/keep_workspace`` makes them.
"""

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rereader.cli.main import run as rereader
from rereader.config import Config
from rereader.memory.care.contents import check_contents
from rereader.memory.care.depth import Depth
from rereader.memory.invariants import check_library, stored_version
from rereader.memory.library import Library
from rereader.memory.migrations import MIGRATIONS
from rereader.runs.doctor.checkpoints import checkpoints_open
from rereader.runs.doctor.scope import Scope
from rereader.runs.doctor.workspace import mend_workspace
from rereader.testing.sessions import scripted_session

KEPT = Path(__file__).parents[1] / "data" / "workspaces"
NAMES = sorted(path.stem for path in KEPT.glob("*.zip"))
INCOMPLETE = {"schema-6-early"}
"""Made by a commit whose form of a schema lacked what its last one has; ``doctor --repair`` adds that."""
NEVER_COMMITTED = {2}
"""Schemas that no commit had as its last: they came together with the next."""
WHOLE = Depth(whole=True)


@pytest.fixture(params=NAMES)
def kept(request, tmp_path):
    """A kept workspace and what is to be expected of it."""
    with zipfile.ZipFile(KEPT / f"{request.param}.zip") as archive:
        archive.extractall(tmp_path / "ws")
    expected = json.loads((tmp_path / "ws" / "expected.json").read_bytes())
    (tmp_path / "ws" / "expected.json").unlink()
    if request.param in INCOMPLETE:
        mend(tmp_path / "ws")
    return tmp_path / "ws", expected


def mend(folder):
    return [one.what for one in mend_workspace(Scope(Config(workspace=folder), measure=True)) if one.state == "mended"]


def faults(folder):
    with Library(folder) as library:
        found = [*check_library(library), *check_contents(library, WHOLE), *checkpoints_open(library, WHOLE)]
    return [one for one in found if one.state not in ("ok", "note") and "others may read" not in one.what]


def test_every_schema_is_kept():
    schemas = {int(name.split("-")[1]) for name in NAMES}
    assert schemas | NEVER_COMMITTED == set(range(1, len(MIGRATIONS) + 1)), "run scripts/keep_workspace"


def test_it_opens_and_is_well(kept, request):
    folder, expected = kept
    incomplete = request.node.callspec.params["kept"] in INCOMPLETE
    assert stored_version(folder) == (len(MIGRATIONS) if incomplete else expected["schema"])
    assert faults(folder) == []
    assert stored_version(folder) == len(MIGRATIONS)
    mend(folder)  # indexes and blocks of an older form, and who may read the files
    assert mend(folder) == [] == faults(folder)


def test_its_runs_are_what_they_were(kept):
    folder, expected = kept
    with Library(folder) as library:
        found = {run.id: run for run in reversed(library.runs.all())}
        assert found.keys() == expected["runs"].keys() and len(found) >= 3
        assert library.documents.text(expected["document"]) == expected["text"]
        for identity, was in expected["runs"].items():
            run = found[identity]
            assert (run.question, run.graph, run.status) == (was["question"], was["graph"], was["status"])
            assert len(library.runs.steps(identity)) == was["steps"]
            if was["answer"] is not None:
                assert run.answer.answer == was["answer"]
                assert [[one.start, one.end, one.quote] for one in run.answer.evidence] == was["evidence"]


def test_its_runs_can_be_shown(kept, monkeypatch, capsys):
    folder, expected = kept
    monkeypatch.setenv("REREADER_WORKSPACE", str(folder))
    for identity, was in expected["runs"].items():
        for command in (["show", identity], ["show", identity, "--step", "1"], ["blame", identity]):
            done = was["answer"] is not None or command[0] == "show"
            assert rereader(command) == (0 if done else 2), command
    assert "Traceback" not in "".join(capsys.readouterr())


def test_it_answers_and_goes_on(kept):
    folder, expected = kept
    session = scripted_session(folder)
    settings = {"chunk_tokens": 80, "decline_below": 0, "gist": "model"}
    answer = session.ask(expected["question"], [expected["document"]], settings=settings)
    assert any("1822" in one.quote and one.verified for one in answer.evidence)
    for identity, was in expected["runs"].items():
        if was["answer"] is None and was["status"] == "interrupted":
            assert "1822" in " ".join(one.quote for one in session.resume(identity).evidence)
        elif was["answer"] is not None:
            assert session.fork(identity, 1).answer
    session.close()
    assert faults(folder) == []


def test_many_upgrade_it_at_once(tmp_path):
    with zipfile.ZipFile(KEPT / "schema-1.zip") as archive:
        archive.extractall(tmp_path)

    def upgraded(_number):
        with Library(tmp_path) as library:
            return len(library.runs.all())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(upgraded, range(8)))) == 1
    assert stored_version(tmp_path) == len(MIGRATIONS) and faults(tmp_path) == []


@pytest.mark.parametrize("name", sorted(INCOMPLETE))
def test_what_a_first_form_of_a_schema_lacked_is_added(tmp_path, name):
    with zipfile.ZipFile(KEPT / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    assert any("of the schema" in one.what and "missing" in one.what for one in faults(tmp_path))
    assert any("of the schema" in what and "added" in what for what in mend(tmp_path))
    assert faults(tmp_path) == []
