"""The OpenAPI document says what answers hold: every route's shape against what it really answers, to the letter."""

import json
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from served import BOOK, QUESTION, filled

from rereader.server.routes import about, documents, jobs, runs

SHAPES = {
    (method, route.path): route.response_model
    for module in (about, documents, jobs, runs)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
}
NOT_JSON = {("GET", "/api/events"), ("GET", "/api/runs/{run_id}/page")}


def check(method, path, answer):
    """An answer that is read by its route's shape and written again is the same: nothing is missing, more, or other."""
    assert answer.status_code < 300, answer.text
    shape = TypeAdapter(SHAPES[method, path])
    read = shape.validate_json(answer.content)
    again = shape.dump_python(read, mode="json", exclude_unset=True)
    assert again == answer.json()


def test_every_route_with_json_has_a_shape():
    assert {route for route, shape in SHAPES.items() if shape is None} == NOT_JSON


@pytest.fixture
def room(asked, client, wait_for):
    """A client of a workspace with a run and a fork of it, and what they are called."""
    document, answer = asked
    changes = {"step": 3, "settings": {"evidence_words": 40}}
    job = client.post(f"/api/runs/{answer.run_id}/forks", json=changes).json()["job"]
    return client, {"document": document.id, "run_id": answer.run_id, "other": wait_for(job)["run"], "job": job}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/about", ""),
        ("/api/documents", ""),
        ("/api/documents/{document}", ""),
        ("/api/documents/{document}/text", "?start=3&end=30"),
        ("/api/documents/{document}/search", "?q=mill sold"),
        ("/api/jobs", ""),
        ("/api/jobs/{job}", ""),
        ("/api/runs", ""),
        ("/api/runs/{run_id}", ""),
        ("/api/runs/{run_id}/outline", ""),
        ("/api/runs/{run_id}/chunks", ""),
        ("/api/runs/{run_id}/blame", ""),
        ("/api/runs/{run_id}/course", "?fact=Keziah"),
        ("/api/runs/{run_id}/passage", "?at={document}:0-60"),
        ("/api/runs/{run_id}/heat", ""),
        ("/api/runs/{run_id}/diff/{other}", ""),
        ("/api/runs/{run_id}/memory", "?step=5"),
    ],
)
def test_what_is_read_is_as_it_is_told(room, path, query):
    client, names = room
    check("GET", path, client.get(f"{path}{query}".format(**names)))


def test_every_step_and_its_records_are_as_they_are_told(room):
    client, names = room
    for run in (names["run_id"], names["other"]):
        for number in range(1, client.get(f"/api/runs/{run}").json()["steps"] + 1):
            check("GET", "/api/runs/{run_id}/steps/{number}", client.get(f"/api/runs/{run}/steps/{number}"))
    changes = client.get(f"/api/runs/{names['run_id']}/outline").json()["changes"]
    ids = quote(",".join(change[3] for change in changes))
    check("GET", "/api/runs/{run_id}/records", client.get(f"/api/runs/{names['run_id']}/records?ids={ids}"))


def test_what_is_asked_for_is_answered_as_it_is_told(room, wait_for):
    client, names = room
    check("POST", "/api/estimate", client.post("/api/estimate", json={"question": QUESTION}))
    asked = client.post("/api/runs", json={"question": QUESTION, "graph": "retrieval"})
    check("POST", "/api/runs", asked)
    check("DELETE", "/api/jobs/{job}", client.delete(f"/api/jobs/{asked.json()['job']}"))
    wait_for(asked.json()["job"])
    resumed = client.post(f"/api/runs/{names['run_id']}/resume")
    check("POST", "/api/runs/{run_id}/resume", resumed)
    check("GET", "/api/jobs/{job}", client.get(f"/api/jobs/{resumed.json()['job']}"))
    wait_for(resumed.json()["job"])
    added = client.post("/api/documents?name=a.txt", content=BOOK[:200].encode())
    check("POST", "/api/documents", added)
    wait_for(added.json()["job"])
    check("DELETE", "/api/documents/{document}", client.delete(f"/api/documents/{names['document']}"))


def test_a_run_by_attention_is_as_it_is_told(tmp_path, backend, client):
    with filled(backend.config.workspace, graph="evidence-replay") as (_, _, answer):
        path = "/api/runs/{run_id}/heat"
        check("GET", path, client.get(path.format(run_id=answer.run_id)))
        assert client.get(path.format(run_id=answer.run_id)).json()["rounds"][0]["sentences"]


def test_the_openapi_document_holds_the_shapes(client):
    told = client.get("/openapi.json").json()
    for (method, path), shape in SHAPES.items():
        answers = told["paths"][path][method.lower()]["responses"]
        content = answers.get("200", answers.get("202"))["content"]
        if shape is None:
            assert list(content) in (["text/html"], ["text/event-stream"])
        else:
            assert "$ref" in json.dumps(content["application/json"]["schema"]), (method, path)
