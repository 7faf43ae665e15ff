"""How much one may ask for: requests at once, bytes of a body, seconds that it may take to come."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rereader.server.errors import Refused, refusal

MOST_AT_WORK = 32
MOST_IN_LINE = 256
"""Requests that wait for one of those to end."""
MOST_JSON = 1_000_000
MOST_UPLOAD = 256_000_000
UPLOAD = ("POST", "/api/documents")
_STREAM = "/api/events"
_IN_LINE_SECONDS = 30.0
_BODY_SECONDS = 60.0
_SLOWEST = 256_000
"""Bytes a second that a large body has to come at after its first minute."""
_WITHOUT_BODY = ("GET", "HEAD")


class Limits:
    """Lets so many requests work at once and others wait in line; turns away what is too much, too large or too slow.

    Args:
        app: What it stands in front of.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._places = asyncio.Semaphore(MOST_AT_WORK)
        self._in_line = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http" or scope["path"] == _STREAM:  # the hub counts streams
            await self.app(scope, receive, send)
            return
        if not await self._has_place():
            refused = Refused(503, f"The server is busy with {MOST_AT_WORK} requests.", "Try again in a moment.")
            await refusal(refused)(scope, receive, send)
            return
        try:
            await self._bounded(scope, receive, send)
        finally:
            self._places.release()

    async def _has_place(self) -> bool:
        """Wait in line for a place, unless the line is long, and not for ever."""
        if self._places.locked() and self._in_line >= MOST_IN_LINE:
            return False
        self._in_line += 1
        try:
            async with asyncio.timeout(_IN_LINE_SECONDS):
                return await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self._in_line -= 1

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in _WITHOUT_BODY:
            await self.app(scope, receive, send)
            return
        is_upload = (scope["method"], scope["path"]) == UPLOAD
        body = _Body(receive, MOST_UPLOAD if is_upload else MOST_JSON)
        try:
            body.check_length(Headers(scope=scope).get("content-length"))
            # What is read as JSON is read whole by the framework; so it is measured before.
            passed_on = body.receive if is_upload else await body.read()
        except Refused as error:
            await refusal(error)(scope, receive, send)
            return
        await self.app(scope, passed_on, send)


class _Body:
    """A body that is counted and timed while it comes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._size = 0
        self._began = asyncio.get_running_loop().time()
        self._whole = False

    def check_length(self, said: str | None) -> None:
        """Refuse a body that says itself that it is too large."""
        if said is not None and said.isdecimal() and int(said) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part of the body, then what comes after it.

        Raises:
            Refused: If the body is too large or too slow.
        """
        if self._whole:
            return await self._receive()
        left = self._began + _BODY_SECONDS + self._size / _SLOWEST - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except TimeoutError as error:
            raise Refused(408, "The request took too long to come.", "Try again.") from error
        self._size += len(message.get("body", b""))
        if self._size > self._most:
            raise self._too_large()
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def read(self) -> Receive:
        """Read all of it; returns what hands it on."""
        parts: list[bytes] = []
        while not self._whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return self._given([message])
            parts.append(message.get("body", b""))
        return self._given([{"type": "http.request", "body": b"".join(parts), "more_body": False}])

    def _given(self, messages: list[Message]) -> Receive:
        async def receive() -> Message:
            return messages.pop(0) if messages else await self._receive()

        return receive

    def _too_large(self) -> Refused:
        hint = "Add it on the command line with 'rereader add'." if self._most == MOST_UPLOAD else "Send less."
        return Refused(413, f"The request is larger than {self._most / 1e6:,.0f} MB.", hint)
