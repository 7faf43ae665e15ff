"""Asking, forking, resuming, adding: what is refused at once, and what is done."""

import json
import threading

import pytest
from served import BOOK, QUESTION, app_of, client_of

from rereader.memory.library import Library
from rereader.models.installed import InstalledModel
from rereader.models.manifest import Manifest
from rereader.testing.serving import NAMES, scripted_backend
from rereader.tools.loaders import load_bytes


def refused(answer, status=422):
    """Whether a request was refused in our form; returns what was said."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "hint"}
    return answer.json()["error"]


def test_a_question_is_answered(client, asked, wait_for):
    document, _ = asked
    accepted = client.post("/api/runs", json={"question": "When was the mill sold?", "settings": {"waves": 1}})
    assert accepted.status_code == 202
    job = wait_for(accepted.json()["job"])
    assert (job["state"], job["kind"], job["graph"]) == ("done", "ask", "compressed-memory")
    run = client.get(f"/api/runs/{job['run']}").json()
    assert run["run"]["answer"]["status"] == "answered"
    assert run["run"]["document_ids"] == [document.id]
    assert run["run"]["settings"]["waves"] == 1
    assert (run["at_work"], run["job"]) == (False, None)


def test_a_question_has_a_graph_a_budget_and_documents(client, backend, asked, wait_for):
    other = backend.library.documents.add("Nothing here. " * 50, title="other", source="o", loader="text/1")
    wanted = {"question": "Who?", "graph": "retrieval", "document_ids": [other.id[:12]], "budget": {"calls": 7}}
    job = wait_for(client.post("/api/runs", json=wanted).json()["job"])
    run = client.get(f"/api/runs/{job['run']}").json()["run"]
    assert (run["graph"], run["document_ids"]) == ("retrieval", [other.id])
    assert run["budget"] == {"tokens": None, "calls": 7, "seconds": None}


def test_a_follow_up_is_about_the_same_documents_in_the_same_way(client, backend, asked, wait_for):
    first = {"question": "Who?", "graph": "retrieval", "settings": {"evidence_words": 50}}
    parent = wait_for(client.post("/api/runs", json=first).json()["job"])["run"]
    backend.library.documents.add("Nothing here. " * 50, title="other", source="o", loader="text/1")
    job = wait_for(client.post("/api/runs", json={"question": "And when?", "parent": parent}).json()["job"])
    run = client.get(f"/api/runs/{job['run']}").json()["run"]
    assert (run["graph"], run["parent"], run["forked_at"]) == ("retrieval", parent, None)
    assert run["settings"]["evidence_words"] == 50 and len(run["document_ids"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        ("x", 422),
        ({"question": ""}, 422),
        ({"question": " \n"}, 422),
        ({"question": 5}, 422),
        ({"question": "x", "surprise": 1}, 422),
        ({"question": "x", "document_ids": "all"}, 422),
        ({"question": "x", "document_ids": ["nothing"]}, 404),
        ({"question": "x", "graph": "nothing"}, 422),
        ({"question": "x", "settings": {"nothing": 1}}, 422),
        ({"question": "x", "settings": {"waves": "many"}}, 422),
        ({"question": "x", "settings": {"waves": [1]}}, 422),
        ({"question": "x", "budget": {"tokens": -1}}, 422),
        ({"question": "x", "budget": {"calls": 1.5}}, 422),
        ({"question": "x", "budget": {"minutes": 1}}, 422),
        ({"question": "x", "parent": "nothing"}, 404),
        ({"question": "x", "models": {"reader": "nothing"}}, 422),
        ({"question": "x", "models": {"nothing": "extractive"}}, 422),
    ],
)
def test_a_question_that_cannot_be_asked(client, asked, body, status):
    refused(client.post("/api/runs", json=body), status)
    assert client.get("/api/jobs").json() == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"question": NaN}', b"null"])
def test_what_is_no_json_is_refused(client, asked, content):
    refused(client.post("/api/runs", content=content, headers={"Content-Type": "application/json"}))


def test_a_form_of_another_site_is_no_json(client, asked):
    body = json.dumps({"question": QUESTION})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        refused(client.post("/api/runs", content=body, headers={"Content-Type": kind}))


def test_an_empty_workspace_cannot_be_asked(client):
    assert refused(client.post("/api/runs", json={"question": "x"})) == "There is no document to ask."
    refused(client.post("/api/estimate", json={"question": "x"}))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "./models/x.gguf",
        "..",
        "openai:gpt@http://elsewhere.test/v1#HOME",
        "hf-org/some-model",
        "smollm2-135m",  # known, but not pulled
        "",
    ],
)
@pytest.mark.parametrize("path", ["/api/runs", "/api/estimate", "/api/runs/RUN/forks"])
def test_a_request_names_no_path_no_endpoint_and_nothing_to_download(client, asked, path, name):
    body = {"step": 3} if path.endswith("forks") else {"question": "x"}
    answer = client.post(path.replace("RUN", asked[1].run_id), json={**body, "models": {"reader": name}})
    assert "cannot be named" in refused(answer)


def test_what_was_pulled_and_what_needs_no_model_may_be_named(backend, monkeypatch):
    manifest = Manifest.model_construct(name="smollm2-135m", kind="generate")
    found = [InstalledModel("smollm2-135m", backend.config.models_dir, manifest)]
    monkeypatch.setattr("rereader.server.backend.installed", lambda _: found)
    backend.check_models({"reader": "smollm2-135m", "scorer": "none", "embedder": "hashing", "gister": "reader"})
    backend.check_models({"reader": "smollm2-135m (llama.cpp)"})
    assert backend.pulled() == ["smollm2-135m"]


def test_an_estimate_of_what_it_would_cost(client, asked):
    found = client.post("/api/estimate", json={"question": QUESTION, "settings": {"waves": 1}})
    assert found.status_code == 200
    assert found.json()["calls"] >= 1 and {"seconds", "stages", "tokens_in"} <= set(found.json())
    assert client.get("/api/jobs").json() == []
    refused(client.post("/api/estimate", json={"question": "x", "graph": "nothing"}))


def test_a_fork_goes_on_with_what_was_changed(client, asked, wait_for):
    here = f"/api/runs/{asked[1].run_id}"
    reason = next(step["number"] for step in client.get(f"{here}/outline").json()["steps"] if step["quotes"])
    [first, *_] = client.get(f"{here}/memory?step={reason}").json()["memory"]
    edits = [
        {"kind": "drop", "record": first["record"]},
        {"kind": "add", "span": "60-92", "pin": True},
    ]
    wanted = {"step": reason, "edits": edits, "question": "And now?", "budget": {"calls": 100}}
    job = wait_for(client.post(f"{here}/forks", json=wanted).json()["job"])
    assert job["state"] == "done", job
    fork = client.get(f"/api/runs/{job['run']}").json()["run"]
    assert (fork["parent"], fork["forked_at"], fork["question"]) == (asked[1].run_id, reason, "And now?")
    assert fork["budget"]["calls"] == 100
    held = client.get(f"/api/runs/{job['run']}/memory?step={reason + 1}").json()["memory"]
    assert first["record"] not in [one["record"] for one in held]
    assert [one["pin"] for one in held if one.get("span", "").endswith(":60-92")] == [True]
    [parent, child] = client.get("/api/runs").json()
    assert (parent["depth"], child["depth"], child["descent"]) == (0, 1, "fork")


def test_a_fork_without_a_change_after_the_end_has_its_answer_at_once(client, asked, wait_for):
    here = f"/api/runs/{asked[1].run_id}"
    last = client.get(here).json()["steps"]
    job = wait_for(client.post(f"{here}/forks", json={"step": last}).json()["job"])
    assert client.get(f"/api/runs/{job['run']}").json()["run"]["answer"]["answer"] == asked[1].answer


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"step": -1}, 422),
        ({"step": 2**63}, 422),
        ({"step": 2**63 - 1}, 404),
        ({"step": 99}, 404),
        ({"step": "x"}, 422),
        ({"step": 3, "question": " "}, 422),
        ({"step": 3, "edits": [{"kind": "burn"}]}, 422),
        ({"step": 3, "edits": [{"kind": "drop", "record": "0" * 32}]}, 422),
        ({"step": 3, "edits": [{"kind": "drop"}]}, 422),
        ({"step": 3, "edits": [{"kind": "add", "text": 5}]}, 422),
        ({"step": 3, "edits": [{"kind": "add", "text": "x", "colour": "red"}]}, 422),
        ({"step": 3, "settings": {"nothing": 1}}, 422),
        ({"step": 3, "models": {"nothing": "extractive"}}, 422),
    ],
)
def test_a_fork_that_cannot_be(client, asked, body, status):
    refused(client.post(f"/api/runs/{asked[1].run_id}/forks", json=body), status)
    refused(client.post("/api/runs/nothing/forks", json={"step": 3}), 404)
    assert client.get("/api/jobs").json() == []


@pytest.mark.parametrize("span", ["99999-100000", "5-2", "nowhere:1-9", "1", "1-" + "9" * 50])
def test_an_edit_names_a_place_that_is_there(client, asked, span):
    wanted = {"step": 3, "edits": [{"kind": "add", "span": span}]}
    assert "place" in refused(client.post(f"/api/runs/{asked[1].run_id}/forks", json=wanted)) or ":" in span
    assert client.get("/api/jobs").json() == []


def test_an_edit_that_makes_no_sense_fails_the_job(client, asked, wait_for):
    here = f"/api/runs/{asked[1].run_id}"
    wanted = {"step": 3, "edits": [{"kind": "add", "span": "7-21", "text": "Another text."}]}
    job = wait_for(client.post(f"{here}/forks", json=wanted).json()["job"])
    assert (job["state"], job["run"]) == ("failed", None)
    assert "is another one" in job["error"]["error"] and job["error"]["hint"]


def test_a_run_that_was_stopped_goes_on(tmp_path):
    backend = scripted_backend(tmp_path, seconds=0.1)
    document = backend.library.documents.add(BOOK * 5, title="b", source="b", loader="text/1")
    began = threading.Event()
    with client_of(app_of(backend)) as client:
        hear = backend.desk._heard
        backend.desk._heard = lambda job, event: (hear(job, event), event.node == "reason" and began.set())
        wanted = {"question": QUESTION, "document_ids": [document.id]}
        job = client.post("/api/runs", json=wanted).json()["job"]
        assert began.wait(20)
        run = client.get(f"/api/jobs/{job}").json()["run"]
        at_work = client.get(f"/api/runs/{run}").json()
        assert (at_work["at_work"], at_work["job"], at_work["run"]["status"]) == (True, job, "running")
        refused(client.post(f"/api/runs/{run}/resume"), 409)
        refused(client.delete(f"/api/documents/{document.id}"), 409)
        client.delete(f"/api/jobs/{job}")
        assert ended(client, job)["state"] == "stopped"
        assert client.get(f"/api/runs/{run}").json()["run"]["status"] == "interrupted"
        began.clear()
        again = client.post(f"/api/runs/{run}/resume").json()["job"]
        assert began.wait(20)
        found = client.get(f"/api/runs/{run}").json()
        assert (found["at_work"], found["job"], found["run"]["status"]) == (True, again, "running")
        assert ended(client, again)["state"] == "done"
        assert client.get(f"/api/runs/{run}").json()["run"]["status"] == "answered"


def ended(client, job):
    import time

    until = time.monotonic() + 60
    while (found := client.get(f"/api/jobs/{job}").json())["state"] in ("waiting", "working"):
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def test_a_server_that_ends_leaves_a_run_that_can_be_resumed(tmp_path):
    backend = scripted_backend(tmp_path, seconds=0.2)
    document = backend.library.documents.add(BOOK * 5, title="b", source="b", loader="text/1")
    began = threading.Event()
    with client_of(app_of(backend)) as client:
        hear = backend.desk._heard
        backend.desk._heard = lambda job, event: (hear(job, event), event.node == "reason" and began.set())
        client.post("/api/runs", json={"question": QUESTION, "document_ids": [document.id]})
        waiting = client.post("/api/runs", json={"question": "And then?"}).json()["job"]
        assert began.wait(20)
    assert backend.desk.get(waiting)["state"] == "stopped"
    with Library(tmp_path) as library:
        [run] = library.runs.all()
        assert run.status == "interrupted" and not library.is_at_work(run.id)


def test_a_finished_run_has_nothing_to_resume(client, asked, wait_for):
    job = wait_for(client.post(f"/api/runs/{asked[1].run_id}/resume").json()["job"])
    assert (job["state"], job["run"], job["kind"]) == ("done", asked[1].run_id, "resume")
    refused(client.post("/api/runs/nothing/resume"), 404)


def test_a_file_is_read_and_prepared(client, wait_for):
    notes = b"# Bees\n\nKeziah keeps them.\n"
    job = wait_for(client.post("/api/documents?name=notes.md", content=notes).json()["job"])
    assert (job["state"], job["kind"], job["question"], job["run"]) == ("done", "add", "notes.md", None)
    document = client.get(f"/api/documents/{job['document']}").json()
    assert (document["title"], document["source"], document["loader"][:8]) == ("notes.md", "notes.md", "markdown")
    [found] = client.get(f"/api/documents/{job['document']}/search?q=who+Keziah").json()
    assert found["section"] == "Bees"
    again = wait_for(
        client.post("/api/documents?name=same.md", content=b"# Bees\n\nKeziah keeps them.\n").json()["job"]
    )
    assert again["document"] == job["document"]


def test_what_is_packed_is_unpacked(client, wait_for, tmp_path):
    import gzip
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "The first text.")
        archive.writestr("b/c.txt", "The second text.")
    assert wait_for(client.post("/api/documents?name=both.zip", content=packed.getvalue()).json()["job"])["document"]
    titles = [document["title"] for document in client.get("/api/documents").json()]
    assert titles == ["both.zip/a.txt", "both.zip/b/c.txt"]
    wait_for(client.post("/api/documents?name=x.txt.gz", content=gzip.compress(b"The third text.")).json()["job"])
    assert client.get("/api/documents").json()[-1]["title"] == "x.txt"


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"\x7fELF\x00\x00\x01", b"PK\x03\x04damaged", b"%PDF-1.7 damaged", b"\x1f\x8bdamaged"]
)
def test_a_file_that_cannot_be_read_fails_the_job(client, wait_for, content):
    job = wait_for(client.post("/api/documents?name=book.txt", content=content).json()["job"])
    assert job["state"] == "failed" and job["error"]["error"] and job["document"] is None
    assert "/tmp" not in job["error"]["error"]
    assert client.get("/api/documents").json() == []


@pytest.mark.parametrize("name", ["", "%20", "/", "..%2F", "a%2F..", "x" * 256])
def test_a_file_has_a_name(client, name):
    refused(client.post(f"/api/documents?name={name}", content=b"text"))
    refused(client.post("/api/documents", content=b"text"))


def test_a_file_without_a_name_is_told_how_to_have_one(client):
    assert client.post("/api/documents?name=.", content=b"text").json()["hint"] == "Say it as ?name=novel.txt"


def test_a_file_that_is_no_longer_wanted_is_not_stored(client, backend, wait_for, monkeypatch):
    began, go = threading.Event(), threading.Event()

    def slow(content, name):
        began.set()
        assert go.wait(20)
        return load_bytes(content, name)

    monkeypatch.setattr("rereader.server.work.load_bytes", slow)
    job = client.post("/api/documents?name=notes.md", content=b"Keziah keeps them.").json()["job"]
    assert began.wait(20)
    client.delete(f"/api/jobs/{job}")
    go.set()
    assert wait_for(job)["state"] == "stopped"
    assert backend.library.documents.all() == []


def test_the_models_of_a_stored_run_are_taken_up(backend, asked):
    from rereader.server.asked import ForkAsked
    from rereader.server.work import fork_task, resume_task

    run = backend.library.runs.get(asked[1].run_id)
    for task in (resume_task(backend, run.id), fork_task(backend, run.id, ForkAsked(step=3))):
        assert task.wanted.stored and vars(task.wanted.names) == run.models
        assert task.wanted.counted_by is None
    other = fork_task(backend, run.id, ForkAsked(step=3, models={"scorer": "none"}))
    assert other.wanted.names.scorer == "none" and vars(other.wanted.counted_by) == run.models
    assert fork_task(backend, run.id, ForkAsked(step=0, models={"scorer": "none"})).wanted.counted_by is None
    assert NAMES.scorer == run.models["scorer"]
    backend.close()
