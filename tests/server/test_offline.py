"""A run as one file: all that the page asks for is in it, it fetches nothing, and only its own script may run."""

import base64
import gzip
import hashlib
import json
import re
from contextlib import closing
from importlib import resources

import html5lib
import pytest

from rereader.memory.library import Library
from rereader.runs.outline import outline
from rereader.schema import InputError
from rereader.server import offline
from rereader.server.offline import offline_page, stored
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox \U0001f5dd of the Ulpelhala office opens with 5265 </script><script>alert(1)</script>."
QUESTION = "With which number does the strongbox <b>of</b> the Ulpelhala office open?"
TEXT = plant(essay(1, 60), [FACT]) + "\u202e\x07"


@pytest.fixture
def made(tmp_path):
    with closing(scripted_session(tmp_path)) as session:
        document = session.library.documents.add(TEXT, title="one", source="one", loader="text/1")
        answer = session.ask(QUESTION, [document.id], settings={"decline_below": 0})
        yield session.library, session.library.runs.get(answer.run_id)


def held_by(page):
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    [holder] = [node for node in tree.iter("script") if node.get("id") == "stored"]
    return tree, json.loads(gzip.decompress(base64.b64decode(holder.text)))


def test_the_file_holds_every_answer_that_the_page_asks_for(made):
    library, run = made
    _, held = held_by(offline_page(library, run))
    here = f"/api/runs/{run.id}"
    numbers = library.runs.step_numbers(run.id)
    paths = {here, *(f"{here}/{name}" for name in ("outline", "chunks", "heat", "blame"))}
    assert set(held["answers"]) == paths | {f"{here}/steps/{number}" for number in numbers}
    assert held["answers"][here]["run"]["answer"]["answer"] == run.answer.answer
    assert set(held["records"]) == {identity for *_, identity in outline(library, run).changes}
    assert held["texts"] == {run.document_ids[0]: TEXT}
    for quote in run.answer.evidence:
        assert held["texts"][quote.document_id][quote.start : quote.end] == quote.quote


def test_only_its_own_script_runs_and_nothing_is_fetched(made):
    tree, _ = held_by(offline_page(*made))
    running = [node for node in tree.iter("script") if node.get("type") != "text/plain"]
    [script] = running
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    [policy] = [node.get("content") for node in tree.iter("meta") if node.get("http-equiv")]
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}';")
    assert [node for node in tree.iter() if node.get("src") or node.tag == "link"] == []


def test_documents_and_questions_are_no_markup(made):
    page = offline_page(*made)
    assert "alert(1)" not in page.partition("<noscript>")[0]
    outside = page.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "<b>" not in outside and "&lt;b&gt;of&lt;/b&gt;" in outside and "<script>" not in outside


def test_every_module_of_the_page_is_in_the_file_once_and_before_its_users(made):
    tree, _ = held_by(offline_page(*made))
    [script] = [node.text for node in tree.iter("script") if node.get("type") == "module"]
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    defined = re.findall(r"^const (\w+)Module = ", script, re.MULTILINE)
    static = resources.files("rereader.server") / "static"
    assert sorted(defined) == sorted(
        file.name.removesuffix(".js") for file in static.iterdir() if file.name.endswith(".js")
    )
    for found in re.finditer(r"\} = (\w+)Module;$", script, re.MULTILINE):
        assert f"const {found[1]}Module = " in script[: found.start()]


def test_a_run_without_an_answer_can_be_written_too(tmp_path):
    with Library(tmp_path) as library:
        document = library.documents.add("Some text.", title="t", source="t", loader="text/1")
        from rereader.schema import Budget

        run = library.runs.create(
            "abcdef123456",
            question="What?",
            graph="retrieval",
            settings={},
            models={},
            budget=Budget(),
            document_ids=[document.id],
        )
        held = stored(library, run)
        assert held["answers"]["/api/runs/abcdef123456/blame"] == []
        assert "What?" in offline_page(library, run)


def test_documents_too_long_for_a_file_are_refused(made, monkeypatch):
    monkeypatch.setattr(offline, "MOST_CHARACTERS", len(TEXT) - 1)
    with pytest.raises(InputError, match=r"one file holds"):
        offline_page(*made)


def test_the_command_writes_it(made, monkeypatch, tmp_path, capsys):
    from rereader.cli.main import run as command

    library, run = made
    path = tmp_path / "run.html"
    assert command(["show", run.id, "--html", str(path), "--workspace", str(library.workspace)]) == 0
    out, err = capsys.readouterr()
    assert "Wrote" in err and out == ""
    assert held_by(path.read_text(encoding="utf-8"))[1]["run"] == run.id
