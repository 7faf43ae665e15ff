"""What is too much, too large or too slow."""

import asyncio
import json

import pytest

from rereader.server import limits
from rereader.server.errors import Refused
from rereader.server.limits import MOST_JSON, MOST_UPLOAD, Limits


def post(path="/api/runs", length=None):
    headers = [(b"content-length", str(length).encode())] if length is not None else []
    return {"type": "http", "method": "POST", "path": path, "headers": headers}


def parts(*bodies, end=True):
    """What a client sends: these parts, then nothing; then it leaves."""
    messages = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    if end:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    messages.append({"type": "http.disconnect"})

    async def receive():
        return messages.pop(0)

    return receive


async def answered(app, scope, receive):
    """Status and body of the answer."""
    sent = []

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


def reads_all(bodies):
    """An application that reads the body and says how much it was."""

    async def app(scope, receive, send):
        while True:
            message = await receive()
            bodies.append(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    return app


def test_a_body_is_handed_on_as_it_came():
    bodies = []
    status, _ = asyncio.run(answered(Limits(reads_all(bodies)), post(), parts(b"ab", b"", b"cd")))
    assert (status, b"".join(bodies)) == (200, b"abcd")


def test_what_says_that_it_is_too_large_is_not_read():
    async def never():
        raise AssertionError("it was read")

    for path, most in (("/api/runs", MOST_JSON), ("/api/documents", MOST_UPLOAD)):
        status, said = asyncio.run(answered(Limits(never), post(path, most + 1), never))
        assert status == 413
        assert set(said) == {"error", "hint"}


def test_what_turns_out_too_large_is_refused():
    bodies = []
    status, _ = asyncio.run(answered(Limits(reads_all(bodies)), post(), parts(b"x" * MOST_JSON, b"x")))
    assert (status, bodies) == (413, [])


def test_the_largest_passes():
    bodies = []
    status, _ = asyncio.run(answered(Limits(reads_all(bodies)), post(length=MOST_JSON), parts(b"x" * MOST_JSON)))
    assert (status, len(b"".join(bodies))) == (200, MOST_JSON)


def test_an_upload_comes_part_by_part_and_ends_where_it_is_too_large(monkeypatch):
    monkeypatch.setattr(limits, "MOST_UPLOAD", 10)
    bodies = []
    with pytest.raises(Refused) as raised:
        asyncio.run(answered(Limits(reads_all(bodies)), post("/api/documents"), parts(b"12345", b"67890", b"1")))
    assert (raised.value.status, bodies) == (413, [b"12345", b"67890"])


def test_what_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "_BODY_SECONDS", 0.05)

    async def nothing():
        await asyncio.sleep(60)

    status, said = asyncio.run(answered(Limits(reads_all([])), post(), nothing))
    assert (status, said["hint"]) == (408, "Try again.")


def test_a_large_body_has_more_time(monkeypatch):
    monkeypatch.setattr(limits, "_BODY_SECONDS", 0.05)
    monkeypatch.setattr(limits, "_SLOWEST", 10)
    receive = parts(b"12345")

    async def slow():
        message = await receive()
        if not message.get("body"):
            await asyncio.sleep(0.2)
        return message

    assert asyncio.run(answered(Limits(reads_all([])), post(), slow))[0] == 200


def test_who_leaves_is_not_waited_for():
    bodies = []
    asyncio.run(answered(Limits(reads_all(bodies)), post(), parts(b"ab", end=False)))
    assert bodies == [b""]


@pytest.fixture
def crowded(monkeypatch):
    """An application that lets two requests work at once and one wait, and keeps each until it is told to go on."""
    monkeypatch.setattr(limits, "MOST_AT_WORK", 2)
    monkeypatch.setattr(limits, "MOST_IN_LINE", 1)
    go = asyncio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    return Limits(app), go


GET = {"type": "http", "method": "GET", "path": "/slow", "headers": []}


def test_so_many_at_once_some_in_line_and_no_more(crowded):
    guarded, go = crowded

    async def scenario():
        slow = [asyncio.create_task(answered(guarded, GET, None)) for _ in range(3)]
        await asyncio.sleep(0)
        refused = await answered(guarded, {**GET, "path": "/x"}, None)
        stream = await answered(guarded, {**GET, "path": "/api/events"}, None)
        go.set()
        return refused, stream, await asyncio.gather(*slow), await answered(guarded, {**GET, "path": "/x"}, None)

    refused, stream, done, later = asyncio.run(scenario())
    assert refused[0] == 503 and "2 requests" in refused[1]["error"]
    assert stream[0] == 200
    assert [status for status, _ in done] == [200, 200, 200]
    assert later[0] == 200


def test_nobody_stands_in_line_for_ever(crowded, monkeypatch):
    guarded, go = crowded
    monkeypatch.setattr(limits, "_IN_LINE_SECONDS", 0.05)

    async def scenario():
        slow = [asyncio.create_task(answered(guarded, GET, None)) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await answered(guarded, {**GET, "path": "/x"}, None)
        go.set()
        return refused, await asyncio.gather(*slow), await answered(guarded, {**GET, "path": "/x"}, None)

    refused, done, later = asyncio.run(scenario())
    assert [status for status, _ in (refused, *done, later)] == [503, 200, 200, 200]


def test_a_request_that_fails_makes_room(monkeypatch):
    monkeypatch.setattr(limits, "MOST_AT_WORK", 1)

    async def app(scope, receive, send):
        raise RuntimeError("broken")

    guarded = Limits(app)
    get = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    for _ in range(3):
        with pytest.raises(RuntimeError, match="broken"):
            asyncio.run(answered(guarded, get, None))


def test_limits_stand_before_the_routes(client):
    answer = client.post("/api/runs", content=b"[" * (MOST_JSON + 1))
    assert (answer.status_code, set(answer.json())) == (413, {"error", "hint"})
    assert client.post("/api/runs", content=b"[" * 100_000).status_code == 422


def test_the_queue_is_limited(client, backend, asked, monkeypatch):
    from rereader.server import jobs

    monkeypatch.setattr(jobs, "MOST_WAITING", 0)
    answer = client.post("/api/runs", json={"question": "Who?"})
    assert (answer.status_code, set(answer.json())) == (429, {"error", "hint"})
    assert client.post("/api/documents?name=a.txt", content=b"text").status_code == 429
