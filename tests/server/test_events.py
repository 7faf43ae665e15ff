"""Streams of events: what is told, to whom, and when a stream ends."""

import asyncio
import json
import threading

import pytest

from rereader.server import events
from rereader.server.errors import Refused
from rereader.server.events import MOST_STREAMS, EventAnswer, Hub, event_text


async def told(stream, count):
    """The next events of a stream, as (name, value); ``None`` for its end."""
    found = []
    for _ in range(count):
        text = await asyncio.wait_for(stream.next(), 5)
        if text is None:
            found.append(None)
        else:
            name, data = text.removesuffix("\n\n").split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_every_stream_is_told_in_order_from_any_thread():
    async def scenario():
        hub = Hub()
        streams = [hub.open([event_text("job", {"id": n})]) for n in range(2)]
        thread = threading.Thread(target=lambda: [hub.tell("step", n) for n in range(3)])
        thread.start()
        await asyncio.to_thread(thread.join)
        return [await told(stream, 4) for stream in streams]

    one, two = asyncio.run(scenario())
    assert one == [("job", {"id": 0}), ("step", 0), ("step", 1), ("step", 2)]
    assert two[0] == ("job", {"id": 1}) and two[1:] == one[1:]


@pytest.mark.parametrize("text", ["a\nb\r\n\r\nevent: job\ndata: x", "\ud800", "\u2028 \u202e \0 \U0001f41d", ":"])
def test_no_text_breaks_out_of_its_event(text):
    sent = event_text("warning", {"text": text})
    assert sent.isascii()
    assert sent.count("\n") == 3 and sent.endswith("\n\n") and "\r" not in sent
    assert json.loads(sent.split("\n")[1].removeprefix("data: ")) == {"text": text}


def test_so_many_streams_and_no_more():
    async def scenario():
        hub = Hub()
        streams = [hub.open([]) for _ in range(MOST_STREAMS)]
        with pytest.raises(Refused) as raised:
            hub.open([])
        assert raised.value.status == 429
        hub.drop(streams[0])
        hub.open([])

    asyncio.run(scenario())


def test_streams_end_with_the_server_and_none_begins():
    async def scenario():
        hub = Hub()
        stream = hub.open([event_text("job", 1)])
        hub.close()
        hub.tell("job", 2)
        assert await told(stream, 2) == [("job", 1), None]
        with pytest.raises(Refused) as raised:
            hub.open([])
        assert raised.value.status == 503

    asyncio.run(scenario())


def test_who_reads_too_slowly_begins_anew(monkeypatch):
    monkeypatch.setattr(events, "_MOST_UNREAD", 3)

    async def scenario():
        hub = Hub()
        slow = hub.open([])
        for number in range(10):
            hub.tell("step", number)
        await asyncio.sleep(0)
        assert await told(slow, 1) == [None]

    asyncio.run(scenario())


def test_a_quiet_stream_shows_that_it_lives(monkeypatch):
    monkeypatch.setattr(events, "_QUIET_SECONDS", 0.01)

    async def scenario():
        return await Hub().open([]).next()

    assert asyncio.run(scenario()) == ":\n\n"


def test_a_stream_of_an_ended_loop_is_told_nothing():
    hub = Hub()

    async def scenario():
        hub.open([])

    asyncio.run(scenario())
    hub.tell("step", 1)


def test_an_answer_is_sent_until_its_reader_leaves():
    async def scenario():
        hub = Hub()
        stream = hub.open([event_text("job", 1)])
        sent, leave, seen = [], asyncio.Event(), asyncio.Event()

        async def receive():
            await leave.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if b"event: job" in message.get("body", b""):
                seen.set()

        answer = asyncio.create_task(EventAnswer(hub, stream)({"type": "http"}, receive, send))
        await asyncio.wait_for(seen.wait(), 5)
        leave.set()
        await asyncio.wait_for(answer, 5)
        assert sent[0]["status"] == 200
        headers = dict(sent[0]["headers"])
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert b"content-length" not in headers
        for _ in range(MOST_STREAMS):  # its place is free
            hub.open([])

    asyncio.run(scenario())


def test_an_answer_ends_with_the_server():
    async def scenario():
        hub = Hub()
        stream = hub.open([])
        sent = []

        async def receive():
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        hub.close()
        await asyncio.wait_for(EventAnswer(hub, stream)({"type": "http"}, receive, send), 5)
        assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}

    asyncio.run(scenario())
