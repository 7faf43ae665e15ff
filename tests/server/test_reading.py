"""What is stored is told as it is: documents, runs, steps, records."""

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from long_runs import RUN, write_long_run
from served import BOOK, QUESTION

from rereader.memory.library import Library
from rereader.runs.blame import blame
from rereader.runs.differences import run_diff
from rereader.runs.fates import fates
from rereader.runs.outline import outline
from rereader.runs.passages import passage
from rereader.runs.timeline import moment
from rereader.schema import Span
from rereader.server.offline import offline_page
from rereader.server.plain import plain


def test_documents(client, asked):
    document, _ = asked
    [listed] = client.get("/api/documents").json()
    assert listed == {**document.model_dump(), "source": "book.txt", "runs": 1}
    assert client.get(f"/api/documents/{document.id[:12]}").json() == listed


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("", 0, len(BOOK)),
        ("?start=7&end=12", 7, 12),
        ("?start=7", 7, len(BOOK)),
        ("?start=12&end=7", 12, 12),
        ("?start=99999999", len(BOOK), len(BOOK)),
        ("?end=99999999", 0, len(BOOK)),
        ("?end=0", 0, 0),
    ],
)
def test_text_of_a_document(client, asked, query, start, end):
    found = client.get(f"/api/documents/{asked[0].id}/text{query}").json()
    assert found == {"start": start, "end": end, "length": len(BOOK), "text": BOOK[start:end]}


def test_a_request_gets_so_much_text_and_no_more(client, backend):
    document = backend.library.documents.add("x" * 300_000, title="x", source="x", loader="text/1")
    found = client.get(f"/api/documents/{document.id}/text?start=10").json()
    assert (found["start"], found["end"], len(found["text"])) == (10, 200_010, 200_000)


@pytest.mark.parametrize("query", ["start=-1", "end=-1", "start=x", "start=1.5", "end="])
def test_offsets_are_numbers(client, asked, query):
    answer = client.get(f"/api/documents/{asked[0].id}/text?{query}")
    assert (answer.status_code, set(answer.json())) == (422, {"error", "hint"})


def test_places_of_a_document(client, asked):
    found = client.get(f"/api/documents/{asked[0].id}/search?q=KEEPS%20%20the%0Abees&limit=3").json()
    assert [hit["start"] for hit in found] == [7, 67, 127]
    assert all(hit["quote"] == "keeps the bees" and hit["score"] is None for hit in found)
    [best, *_] = client.get(f"/api/documents/{asked[0].id}/search?q=bees+of+Keziah").json()
    assert "Keziah" in best["quote"] and best["score"] > 0 and best["line"] == 1


@pytest.mark.parametrize("query", ["", "q=", "q=%20", "q=x&limit=0", "q=x&limit=201", "q=" + "x" * 1001])
def test_a_search_is_for_something(client, asked, query):
    answer = client.get(f"/api/documents/{asked[0].id}/search?{query}")
    assert (answer.status_code, set(answer.json())) == (422, {"error", "hint"})


def test_documents_are_removed_with_their_runs(client, asked):
    document, answer = asked
    assert client.delete(f"/api/documents/{document.id}").json() == {"runs": 1, "erased": True}
    assert client.get("/api/documents").json() == []
    assert client.get(f"/api/runs/{answer.run_id}").status_code == 404


def test_reads_do_not_wait_for_a_document_that_is_removed(client, asked, backend, monkeypatch):
    monkeypatch.setattr("rereader.memory.database.BUSY_SECONDS", 3.0)
    document, _ = asked
    here = f"/api/documents/{document.id}"
    with Library(backend.config.workspace) as other, other.database.transaction(), ThreadPoolExecutor(1) as pool:
        removed = pool.submit(client.delete, here)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            began = time.monotonic()
            assert client.get(here).status_code == 200
            assert time.monotonic() - began < 1
        assert not removed.done()
        busy = removed.result(20)
    assert (busy.status_code, busy.json()["hint"]) == (503, "Another process writes to it; try again.")
    assert client.delete(here).json() == {"runs": 1, "erased": True}


@pytest.mark.parametrize("number", [2**63, 10**25, -1, -(10**25)])
def test_numbers_beyond_what_is_stored_are_refused(client, asked, number):
    here = f"/api/runs/{asked[1].run_id}"
    for path in (f"steps/{number}", f"outline?after={number}", f"memory?step={number}"):
        answer = client.get(f"{here}/{path}")
        assert (answer.status_code, set(answer.json())) == (422, {"error", "hint"}), path


def test_the_largest_number_is_no_step(client, asked):
    here, number = f"/api/runs/{asked[1].run_id}", 2**63 - 1
    assert client.get(f"{here}/steps/{number}").status_code == 404
    assert client.get(f"{here}/memory?step={number}").status_code == 404
    assert client.get(f"{here}/outline?after={number}").status_code == 200


def test_runs(client, asked):
    document, answer = asked
    [listed] = client.get("/api/runs").json()
    assert listed["id"] == answer.run_id and listed["answer"] == answer.answer
    assert (listed["depth"], listed["descent"], listed["parent"], listed["forked_at"]) == (0, "first", None, None)
    assert listed["usage"]["calls"] == answer.usage.calls and listed["document_ids"] == [document.id]
    whole = client.get(f"/api/runs/{answer.run_id[:6]}").json()
    assert whole["run"]["answer"] == answer.model_dump(mode="json")
    assert whole["documents"] == [{"id": document.id, "title": "book.txt", "length": len(BOOK)}]
    assert (whole["at_work"], whole["job"]) == (False, None)
    assert {"settings", "models", "budget", "failure"} <= set(whole["run"])
    assert whole["steps"] == len(client.get(f"/api/runs/{answer.run_id}/outline").json()["steps"])


def test_what_is_told_of_a_run_is_what_is_stored(client, backend, asked):
    library = backend.library
    run = library.runs.get(asked[1].run_id)
    here = f"/api/runs/{run.id}"
    assert client.get(f"{here}/outline").json() == plain(outline(library, run))
    assert client.get(f"{here}/outline?after=3").json() == plain(outline(library, run, 3))
    assert client.get(f"{here}/chunks").json() == plain(fates(library, run))
    assert client.get(f"{here}/blame").json() == plain(blame(library, run))
    assert client.get(f"{here}/diff/{run.id}").json() == plain(run_diff(library, run, run))
    assert client.get(f"{here}/heat").json() == {"rounds": []}
    for number in library.runs.step_numbers(run.id):
        told, stored = client.get(f"{here}/steps/{number}").json(), plain(moment(library, run, number))
        assert {**told, "calls": []} == {**stored, "calls": []}
        for call, held in zip(told["calls"], stored["calls"], strict=True):
            assert "slots" not in call and call["prompt"] == held["prompt"]
            assert call["reply"] == held["call"]["reply"]


def test_the_memory_at_a_step_can_be_replayed_from_the_changes(client, backend, asked):
    here = f"/api/runs/{asked[1].run_id}"
    sketch = client.get(f"{here}/outline").json()
    held = {}
    for step in sketch["steps"]:
        for _, change, slot, record in [one for one in sketch["changes"] if one[0] <= step["memory_version"]]:
            held.update({record: slot}) if change == "add" else held.pop(record, None)
        memory = backend.library.working_memory(asked[1].run_id).read(step["memory_version"])
        assert held == {entry.record.id: entry.slot for entry in memory}
    records = client.get(f"{here}/records?ids={','.join(held)},{'0' * 32},,").json()
    assert set(records) == set(held)
    assert all(
        {"kind", "agent", "content", "spans", "parents", "step", "model"} <= set(one) for one in records.values()
    )


def test_so_many_records_and_no_more(client, asked):
    path = f"/api/runs/{asked[1].run_id}/records?ids="
    assert client.get(path + ",".join(f"{n:032}" for n in range(200))).json() == {}
    answer = client.get(path + ",".join(f"{n:032}" for n in range(201)))
    assert (answer.status_code, set(answer.json())) == (422, {"error", "hint"})
    assert client.get(path + "same," * 300).json() == {}


def test_the_course_of_a_fact(client, asked):
    here = f"/api/runs/{asked[1].run_id}/course"
    found = client.get(f"{here}?fact=Keziah").json()
    assert found["fact"] == "Keziah" and found["first"] > 1 and found["losses"] == [] and found["known_at_end"]
    assert client.get(f"{here}?fact=nobody").json()["first"] is None
    for query in ("", "?fact=", "?fact=%2E"):
        assert client.get(here + query).status_code == 422


def test_rounds_of_attention(client, backend, tmp_path):
    from served import filled

    with filled(tmp_path / "workspace", graph="evidence-replay") as (_, document, answer):
        [first, *_] = client.get(f"/api/runs/{answer.run_id}/heat").json()["rounds"]
    assert first["round"] == 1 and first["windows"] >= 1
    hot = first["sentences"][0]
    assert hot["document_id"] == document.id and hot["start"] < hot["end"] <= document.length
    assert isinstance(hot["taken"], bool) and len(hot["tokens"][0]) == 3


@pytest.mark.parametrize(
    "path",
    [
        "/api/documents/nothing",
        "/api/documents/nothing/text",
        "/api/documents/nothing/search?q=x",
        "/api/runs/nothing",
        "/api/runs/nothing/outline",
        "/api/runs/nothing/records?ids=x",
        "/api/runs/nothing/steps/1",
        "/api/runs/nothing/chunks",
        "/api/runs/nothing/blame",
        "/api/runs/nothing/course?fact=x",
        "/api/runs/nothing/heat",
        "/api/runs/nothing/memory?step=1",
        "/api/runs/nothing/diff/nothing",
        "/api/jobs/nothing",
        "/api/nothing",
        "/static/nothing.js",
    ],
)
def test_what_is_not_there_is_not_found(client, path):
    answer = client.get(path)
    assert (answer.status_code, set(answer.json())) == (404, {"error", "hint"})


@pytest.mark.parametrize("path", ["/nothing", "/documents/one/two", "/apis", "/runs/one/two/three"])
def test_an_address_that_no_view_has_is_the_page_which_says_so(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (404, client.get("/").text)
    refused = client.post(path, headers={"X-Rereader": "1"})
    assert (refused.status_code, set(refused.json())) == (404, {"error", "hint"})


@pytest.mark.parametrize("number", ["0", "99"])
def test_a_step_that_a_run_has_not(client, asked, number):
    assert client.get(f"/api/runs/{asked[1].run_id}/steps/{number}").status_code == 404


@pytest.mark.parametrize("path", ["steps/x", "outline?after=x", "outline?after=-1", "memory", "memory?step=-1"])
def test_numbers_are_numbers(client, asked, path):
    answer = client.get(f"/api/runs/{asked[1].run_id}/{path}")
    assert (answer.status_code, set(answer.json())) == (422, {"error", "hint"})


def test_a_run_without_an_answer_has_nothing_to_blame(client, backend):
    write_long_run(backend.library, steps=3)
    assert client.get(f"/api/runs/{RUN}/blame").status_code == 422
    run = client.get(f"/api/runs/{RUN}").json()
    assert (run["run"]["status"], run["at_work"], run["run"]["answer"]) == ("interrupted", False, None)


def test_a_failure_names_no_path(client, backend):
    write_long_run(backend.library, steps=1)
    backend.library.runs.update(RUN, status="failed", failure=f"Cannot read {backend.config.workspace}/kv/x.bin.")
    assert client.get(f"/api/runs/{RUN}").json()["run"]["failure"] == "Cannot read workspace/kv/x.bin."
    assert client.get("/api/runs").json()[0]["failure"] == "Cannot read workspace/kv/x.bin."


def test_large_answers_are_compressed(client, backend):
    document = backend.library.documents.add(BOOK * 9, title="x", source="x", loader="text/1")
    path = f"/api/documents/{document.id}/text"
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert json.loads(gzip.decompress(raw))["text"] == BOOK * 9
    assert len(raw) < len(BOOK)


def test_a_step_of_a_long_run_is_quick(client, backend):
    import time

    write_long_run(backend.library, steps=2_000)
    client.get(f"/api/runs/{RUN}/steps/1")
    began = time.monotonic()
    assert client.get(f"/api/runs/{RUN}/steps/1999").status_code == 200
    assert time.monotonic() - began < 1.0  # 30 ms on an idle machine
    began = time.monotonic()
    assert len(client.get(f"/api/runs/{RUN}/outline").json()["steps"]) == 2_000
    assert time.monotonic() - began < 5.0  # 0.2 s on an idle machine


def test_about(client):
    found = client.get("/api/about").json()
    assert found["workspace"] == "workspace" and found["pulled"] == []
    assert found["default_graph"] == "compressed-memory"
    assert found["models"]["reader"] == "reader"
    graphs = {graph["name"]: graph for graph in found["graphs"]}
    assert {"ledger", "retrieval", "compressed-memory"} <= set(graphs)
    settings = {setting["name"]: setting for setting in graphs["compressed-memory"]["settings"]}
    assert settings["gist"]["kind"] == "choice" and "extract" in settings["gist"]["choices"]
    assert settings["waves"]["kind"] == "int" and settings["waves"]["default"] >= 1
    assert settings["answer"]["kind"] == "bool" and all(setting["help"] for setting in settings.values())
    assert QUESTION not in json.dumps(found)


def test_the_openapi_document_names_every_route(client):
    paths = client.get("/openapi.json").json()["paths"]
    operations = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert {
        ("GET", "/api/about"),
        ("POST", "/api/documents"),
        ("DELETE", "/api/documents/{document}"),
        ("POST", "/api/runs"),
        ("POST", "/api/runs/{run_id}/forks"),
        ("POST", "/api/runs/{run_id}/resume"),
        ("POST", "/api/estimate"),
        ("GET", "/api/events"),
        ("DELETE", "/api/jobs/{job}"),
    } <= operations
    assert all(path.startswith("/api/") for path in paths)
    told = [operation for methods in paths.values() for operation in methods.values()]
    assert all(operation["description"] and "422" in operation["responses"] for operation in told)
    assert "HTTPValidationError" not in client.get("/openapi.json").text


def test_a_run_can_be_taken_along_as_a_file(client, asked, backend):
    run = backend.library.runs.all()[0]
    answer = client.get(f"/api/runs/{run.id}/page")
    assert answer.headers["content-disposition"] == f'attachment; filename="rereader-{run.id}.html"'
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text == offline_page(backend.library, run)


def test_what_became_of_a_passage(client, asked, backend):
    document, answer = asked
    run = backend.library.runs.get(answer.run_id)
    found = client.get(f"/api/runs/{run.id}/passage?at={document.id[:12]}:7-21").json()
    span = Span(document_id=document.id, start=7, end=21)
    assert found == plain(passage(backend.library, run, span).as_json())
    refused = client.get(f"/api/runs/{run.id}/passage?at=nowhere:1-2")
    assert (refused.status_code, set(refused.json())) == (422, {"error", "hint"})
