"""Texts made to do harm travel as they are, as JSON, and do none."""

import json

import pytest
from served import filled

HOSTILE = (
    "Keziah keeps the bees of Ostrow</script><script>alert(1)</script><img src=x onerror=alert(2)>. "
    "The mill \x00\x07\x1b[31m was sold \u202eyb eilla\u202c in 1923\u2028\u2029. "
    "Bees \U0001f41d and \U000e0041 \ufeff\u200b hum \uffff\ufffe at &lt;night&gt; \"'`${1}. \r"
) * 10


def test_a_hostile_text_arrives_to_the_letter(client, tmp_path):
    with filled(tmp_path / "workspace", HOSTILE) as (_, document, answer):
        reply = client.get(f"/api/documents/{document.id}/text")
        assert reply.json()["text"] == HOSTILE
        assert reply.content.isascii()
        assert reply.headers["content-type"] == "application/json"
        steps = client.get(f"/api/runs/{answer.run_id}").json()["steps"]
        told = [client.get(f"/api/runs/{answer.run_id}/steps/{n}").json() for n in range(1, steps + 1)]
    parts = [part for step in told for call in step["calls"] for part in call["prompt"]["parts"] or []]
    quoted = [part for part in parts if part["span"]]
    assert quoted
    for part in quoted:
        assert part["text"] == HOSTILE[part["span"]["start"] : part["span"]["end"]]
        assert part["trusted"] is False


def test_offsets_are_in_code_points(client, tmp_path):
    with filled(tmp_path / "workspace", HOSTILE) as (_, document, answer):
        place = HOSTILE.index("\U0001f41d")
        found = client.get(f"/api/documents/{document.id}/text?start={place}&end={place + 1}").json()
        assert found["text"] == "\U0001f41d"
        hits = client.get(f"/api/documents/{document.id}/search", params={"q": "\U0001f41d AND"}).json()
        assert hits[0]["start"] == place
        for quote in client.get(f"/api/runs/{answer.run_id}").json()["run"]["answer"]["evidence"]:
            assert quote["quote"] == HOSTILE[quote["start"] : quote["end"]]


@pytest.mark.parametrize("question", ["</script><script>alert(1)</script>", "\u202eWho?\x00\x1b", "\U0001f41d" * 20])
def test_a_hostile_question_arrives_to_the_letter(client, asked, wait_for, question):
    job = wait_for(client.post("/api/runs", json={"question": question}).json()["job"])
    assert job["question"] == question
    assert client.get(f"/api/runs/{job['run']}").json()["run"]["question"] == question


HALF = "\ud800"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/runs", {"question": HALF}),
        ("/api/runs", {"question": "x", "document_ids": [HALF]}),
        ("/api/runs", {"question": "x", "graph": HALF}),
        ("/api/runs", {"question": "x", "parent": HALF}),
        ("/api/runs", {"question": "x", "settings": {HALF: 1}}),
        ("/api/runs", {"question": "x", "settings": {"seed": HALF}}),
        ("/api/runs", {"question": "x", "models": {"reader": HALF}}),
        ("/api/runs", {"question": "x", "models": {HALF: "reader"}}),
        ("/api/runs/RUN/forks", {"step": 4, "edits": [{"kind": "add", "text": HALF}]}),
        ("/api/runs/RUN/forks", {"step": 4, "edits": [{"kind": "drop", "record": HALF}]}),
        ("/api/runs/RUN/forks", {"step": 4, "edits": [{"kind": "add", "span": HALF}]}),
        ("/api/runs/RUN/forks", {"step": 4, "question": HALF}),
        ("/api/estimate", {"question": HALF}),
    ],
)
def test_half_a_character_is_refused(client, asked, path, body):
    content = json.dumps(body)
    headers = {"Content-Type": "application/json"}
    answer = client.post(path.replace("RUN", asked[1].run_id), content=content, headers=headers)
    assert (answer.status_code, set(answer.json())) == (422, {"error", "hint"})
    assert client.get("/api/jobs").json() == []


@pytest.mark.parametrize(
    "path", ["/api/runs/%ED%A0%80", "/api/documents/%00", "/api/runs/%F0%9F%90%9D/outline", "/%FF"]
)
def test_hostile_addresses_find_nothing(client, path):
    assert client.get(path).status_code in (404, 422)


def test_a_hostile_file_name_is_only_a_name(client, wait_for):
    names = {
        "../../etc/passwd": "passwd",
        "C:\\Windows\\evil.txt": "evil.txt",
        "<script>alert(1)</script>.txt": "script>.txt",
        "a\u202eb\x1b[31m.txt": "a\u202eb\x1b[31m.txt",
        "\U0001f41d.txt": "\U0001f41d.txt",
    }
    for number, (name, wanted) in enumerate(names.items()):
        answer = client.post("/api/documents", params={"name": name}, content=f"Text number {number}.".encode())
        job = wait_for(answer.json()["job"])
        assert job["state"] == "done", job
        document = client.get(f"/api/documents/{job['document']}").json()
        assert (document["title"], document["source"]) == (wanted, wanted)
