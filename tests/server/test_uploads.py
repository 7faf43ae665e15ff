"""Files on their way: counted together, on the disk before anybody is told that they came."""

import asyncio
import io

import pytest

from rereader.schema import RereaderError
from rereader.server import uploads
from rereader.server.errors import Refused
from rereader.server.uploads import Upload, Uploads


class Arriving:
    """A request whose body comes in parts."""

    def __init__(self, *parts):
        self.parts = parts
        self.asked = 0

    async def stream(self):
        for part in self.parts:
            self.asked += 1
            yield part


def received(room, *parts):
    return asyncio.run(room.received(Arriving(*parts)))


@pytest.fixture
def room(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    return Uploads()


def test_a_file_comes_and_goes(room):
    upload = received(room, b"12345", b"678")
    assert upload.read() == upload.read() == b"12345678"
    with pytest.raises(Refused):
        received(room, b"123")
    upload.close()
    upload.close()
    received(room, b"1234567890").close()


def test_files_that_wait_are_limited_together(room):
    waiting = [received(room, b"12345"), received(room, b"1234")]
    request = Arriving(b"1", b"2", b"3")
    with pytest.raises(Refused) as raised:
        asyncio.run(room.received(request))
    assert (raised.value.status, request.asked) == (429, 2)
    waiting.append(received(room, b"1"))
    request = Arriving(b"1")
    with pytest.raises(Refused):
        asyncio.run(room.received(request))
    assert request.asked == 0, "no byte of it is waited for"
    for upload in waiting:
        upload.close()
    received(room, b"1234567890").close()


class FullDisk(io.BytesIO):
    """A file that takes bytes until they have to be on the disk."""

    def flush(self):
        raise OSError(28, "No space left on device")

    def close(self):
        was_open = not self.closed
        super().close()
        if was_open:
            raise OSError(28, "No space left on device")


def test_a_full_disk_is_noticed_while_somebody_waits_for_the_answer(room, monkeypatch):
    monkeypatch.setattr(uploads.tempfile, "TemporaryFile", FullDisk)
    with pytest.raises(Refused) as raised:
        received(room, b"12345")
    assert (raised.value.status, isinstance(raised.value, RereaderError)) == (507, True)
    monkeypatch.undo()
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    received(room, b"1234567890").close()


def test_whoever_leaves_leaves_no_file(room):
    class Leaves(Arriving):
        async def stream(self):
            yield b"12345"
            raise ConnectionError

    with pytest.raises(Refused):
        asyncio.run(room.received(Leaves()))
    received(room, b"1234567890").close()


def test_a_file_that_is_read_makes_room_before_its_memories_are_made(client, backend, monkeypatch, wait_for):
    seen = []
    from rereader.runs.session import Session

    prepare = Session.prepare
    held = []

    def watched(self, *arguments, **named):
        held.append(backend.uploads._bytes)
        return prepare(self, *arguments, **named)

    take = Upload.write
    monkeypatch.setattr(Session, "prepare", watched)
    monkeypatch.setattr(Upload, "write", lambda self, part: (seen.append(len(part)), take(self, part)))
    job = wait_for(client.post("/api/documents?name=a.txt", content=b"Keziah keeps the bees.").json()["job"])
    assert (job["state"], sum(seen), held) == ("done", 22, [0])


def test_too_many_files_are_refused_over_http(client, backend, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 4)
    answer = client.post("/api/documents?name=a.txt", content=b"12345")
    assert (answer.status_code, set(answer.json())) == (429, {"error", "hint"})
    assert client.get("/api/jobs").json() == []
