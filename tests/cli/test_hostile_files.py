"""Hostile files through the real command line, in a process whose memory is limited: one line, or a document."""

import json
import os
import subprocess
import sys

import pytest
from hostile_files import READ, REFUSED, docx, epub, outside

SECRET = "Kestrivane Oldmarrow 6618"
ROOM = 1 << 30
"""Bytes of address space that the process may take beyond what it has taken to begin with."""
_WITHOUT_MODELS = ["--role=gister=none", "--role=scorer=none", "--role=embedder=hashing"]
_DRIVER = f"""
import contextlib, io, json, resource, sys, time
import rereader.runs.session, rereader.cli.documents, rereader.graphs.compressed_memory, rereader.agents.indexer, faiss
from rereader.cli.main import run
from rereader.tools.formats import apart
import psutil
apart.MEMORY = 200 << 20
taken = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (taken + {ROOM}, resource.RLIM_INFINITY))
for name in sys.stdin.read().split():
    out, err, begun = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["add", name, "--quiet", "--json", *{_WITHOUT_MODELS}])
    print(json.dumps([name, code, out.getvalue(), err.getvalue(), time.process_time() - begun]), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("hostile")
    (made / "secret.txt").write_text(SECRET)
    (made / "in").mkdir()
    for name, (make, _) in REFUSED.items():
        (made / "in" / name).write_bytes(make())
    for name, make in READ.items():
        (made / "in" / name).write_bytes(make())
    entity = outside(made / "secret.txt")
    (made / "in" / "outside.docx").write_bytes(docx("<w:p><w:r><w:t>Bees &e;</w:t></w:r></w:p>", entity))
    (made / "in" / "outside.epub").write_bytes(epub(f"{entity}<html><p>Bees hum &e;.</p></html>"))
    (made / "in" / "outside.html").write_bytes(f"{entity}<p>Bees hum &e;.</p>".encode())
    with (made / "in" / "huge.txt").open("wb") as file:
        file.truncate(2**30)
    return made / "in"


@pytest.fixture(scope="module")
def added(folder):
    """What came of each file: ``(exit code, documents, lines of standard error, seconds)``."""
    if sys.platform != "linux":
        pytest.skip("address space is limited on Linux")
    names = sorted(path.name for path in folder.iterdir())
    environment = {**os.environ, "REREADER_WORKSPACE": str(folder.parent / "ws"), "REREADER_MODELS": str(folder.parent)}
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=" ".join(names),
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == names
    return {
        name: (code, json.loads(out or "[]"), [line for line in err.splitlines() if line.startswith("error:")], seconds)
        for name, code, out, err, seconds in rows
    }


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name, added):
    code, documents, lines, seconds = added[name]
    assert (code, documents, len(lines)) == (2, [], 1)
    assert REFUSED[name][1] in lines[0] and name in lines[0]
    assert "Internal error" not in lines[0]
    assert seconds < 20


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name, added):
    code, documents, lines, seconds = added[name]
    assert (code, lines) == (0, [])
    assert documents and all(document["length"] for document in documents)
    assert seconds < 20


def test_a_gigabyte_on_one_line_is_refused_before_it_is_read(added):
    code, documents, [line], seconds = added["huge.txt"]
    assert (code, documents) == (2, []) and "holds more than 512 MiB" in line
    assert seconds < 1


@pytest.mark.parametrize("name", ["outside.docx", "outside.epub", "outside.html"])
def test_no_file_of_the_machine_is_read_by_a_document(name, added, folder):
    code, _, lines, _ = added[name]
    assert code in (0, 2) and len(lines) == (code == 2)
    for path in (folder.parent / "ws").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_names_in_an_archive_lead_nowhere(added, folder):
    titles = [document["title"] for document in added["slip.zip"][1]]
    assert titles == ["slip.zip/etc/slipped.txt", "slip.zip/slipped.txt"]
    assert not list(folder.parent.parent.rglob("slipped.txt"))
