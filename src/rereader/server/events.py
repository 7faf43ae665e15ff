"""Server-sent events: one stream for a whole page, fed from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rereader.server.errors import Refused
from rereader.server.plain import dumped

MOST_STREAMS = 8
_MOST_UNREAD = 2_000
"""Events that wait for a slow reader; then its stream ends, and its next one begins with how things stand."""
_QUIET_SECONDS = 15.0
_COMMENT = ":\n\n"


def event_text(name: str, value: Any) -> str:
    """An event as it is sent: JSON in ASCII never holds the end of a line."""
    return f"event: {name}\ndata: {dumped(value)}\n\n"


class Stream:
    """The events that one reader has not been sent yet. Made on the event loop that sends them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread: asyncio.Queue[str | None] = asyncio.Queue()
        self._ended = False

    def put(self, text: str | None) -> None:
        """Add an event, or the end of the stream; may be called in any thread."""
        with suppress(RuntimeError):  # the loop has ended, and with it the stream
            self._loop.call_soon_threadsafe(self._put, text)

    def _put(self, text: str | None) -> None:
        if self._ended:
            return
        if text is not None and self._unread.qsize() >= _MOST_UNREAD:
            self._unread = asyncio.Queue()
            text = None
        self._ended = text is None
        self._unread.put_nowait(text)

    async def next(self) -> str | None:
        """What is to be sent next: a comment if nothing happens for a while, ``None`` at the end."""
        try:
            return await asyncio.wait_for(self._unread.get(), _QUIET_SECONDS)
        except TimeoutError:
            return _COMMENT


class Hub:
    """Every open stream."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._lock = threading.Lock()
        self._closed = False

    def open(self, first: Iterable[str]) -> Stream:
        """A new stream that begins with some events.

        Raises:
            Refused: If there are too many, or the server is stopping.
        """
        with self._lock:
            if self._closed:
                raise Refused(503, "The server is stopping.", "Start it again.")
            if len(self._streams) >= MOST_STREAMS:
                raise Refused(429, f"{MOST_STREAMS} pages are open already.", "Close one of them.")
            stream = Stream()
            self._streams.add(stream)
        for text in first:
            stream.put(text)
        return stream

    def drop(self, stream: Stream) -> None:
        """Forget a stream whose reader is gone."""
        with self._lock:
            self._streams.discard(stream)

    def tell(self, name: str, value: Any) -> None:
        """Send an event to every stream."""
        with self._lock:
            streams = list(self._streams)
        if streams:
            text = event_text(name, value)
            for stream in streams:
                stream.put(text)

    def close(self) -> None:
        """End every stream, and let none begin."""
        with self._lock:
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.put(None)


class EventAnswer(Response):
    """A stream as an answer; it ends when its reader leaves."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, stream: Stream) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["Content-Length"]
        self._hub = hub
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until there are no more or nobody reads them."""
        tasks = [asyncio.create_task(self._send(send)), asyncio.create_task(_left(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.drop(self._stream)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"retry: 1000\n\n", "more_body": True})
        while (text := await self._stream.next()) is not None:
            await send({"type": "http.response.body", "body": text.encode("ascii"), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Wait until the reader is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
