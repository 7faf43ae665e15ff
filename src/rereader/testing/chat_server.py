"""A chat server on this machine that does as it is told: replies, streams, refuses, hangs, breaks off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Speak = Callable[[str], str]


@dataclass(frozen=True)
class Act:
    """How the server treats one request.

    Args:
        status: HTTP status; other than 200 the reply is ``message`` as an error.
        message: The error's text.
        raw: Sent as the body instead of anything sensible.
        headers: Further headers.
        seconds: Waits so long before it replies; it stops waiting when it is closed.
        usage: Whether tokens are counted (words, and 5 for each message).
        logprobs: Whether log-probabilities are told when they are asked for.
        finish: The reason why the reply ended.
        breaks: A stream breaks off after its first piece.
        pause: Waits so long after each piece of a stream.
    """

    status: int = 200
    message: str = ""
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    usage: bool = True
    logprobs: bool = False
    finish: str = "stop"
    breaks: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A request that came: its path, headers (lower case) and JSON body."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def messages(self) -> list[Mapping[str, str]]:
        """The chat messages."""
        return list(self.body.get("messages", []))


class ChatServer:
    """Speaks OpenAI's chat protocol on a free port of the loopback interface while it is entered.

    Args:
        speak: The reply to the last message's text.
        acts: How the first requests are treated, in order; later ones as ``then``.
        then: How all further requests are treated.
        models: Entries of the list of models.
        key: If given, the only key that is let in.
        port: Where to listen; 0 takes a free port.
    """

    def __init__(
        self,
        speak: Speak = lambda text: f"You said: {text}",
        acts: Sequence[Act] = (),
        *,
        then: Act | None = None,
        models: Sequence[Mapping[str, Any]] = ({"id": "fake"},),
        key: str = "",
        port: int = 0,
    ) -> None:
        self.speak = speak
        self.then = then or Act()
        self.models = [dict(entry) for entry in models]
        self.key = key
        self.seen: list[Seen] = []
        self.busiest = 0
        """Most requests that were under way at the same time."""
        self._acts = list(acts)
        self._busy = 0
        self._port = port
        self._lock = threading.Lock()
        self._closing = threading.Event()

    @property
    def url(self) -> str:
        """The address to give as ``base_url``."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._closing.clear()
        self._http = _Http(self, self._port)
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def begin(self, seen: Seen) -> Act:
        """Take note of a request; returns how to treat it."""
        with self._lock:
            self.seen.append(seen)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            return self._acts.pop(0) if self._acts else self.then

    def end(self) -> None:
        """Take note that a request is done with."""
        with self._lock:
            self._busy -= 1

    def wait(self, seconds: float) -> None:
        """Hang, but not beyond the server's own end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._closing.wait(0.01):
            pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: ChatServer, port: int) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", port), _Handler)


def completion(text: str, seen: Seen, act: Act) -> dict[str, Any]:
    """The JSON of a whole reply."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice["finish_reason"] = act.finish
    if act.logprobs and seen.body.get("logprobs"):
        choice["logprobs"] = {"content": [_place(word, seen.body.get("top_logprobs", 0)) for word in text.split()]}
    made: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "fake", "choices": [choice]}
    return made | ({"usage": usage(text, seen)} if act.usage else {})


def usage(text: str, seen: Seen) -> dict[str, int]:
    """What the server counts: words, and 5 for each message."""
    read = sum(5 + len(message["content"].split()) for message in seen.messages)
    written = len(text.split())
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def chunks(text: str, seen: Seen, act: Act) -> Iterator[bytes]:
    """The lines of a streamed reply, a word at a time."""
    for piece in text.split(" ") if text else []:
        shown = piece if piece == text.split(" ")[0] else f" {piece}"
        yield _line({"index": 0, "delta": {"role": "assistant", "content": shown}, "finish_reason": None})
    yield _line({"index": 0, "delta": {}, "finish_reason": act.finish})
    if act.usage and (seen.body.get("stream_options") or {}).get("include_usage"):
        yield _line(None, usage=usage(text, seen))
    yield b"data: [DONE]\n\n"


def _place(word: str, top: int) -> dict[str, Any]:
    others = [{"token": chr(65 + i), "logprob": -1.0 - i, "bytes": None} for i in range(max(0, top - 1))]
    likely = [{"token": word, "logprob": -0.25, "bytes": None}, *others] if top else []
    return {"token": word, "logprob": -0.25, "bytes": None, "top_logprobs": likely}


def _line(choice: Mapping[str, Any] | None, **more: Any) -> bytes:
    made = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return b"data: " + json.dumps({**made, "choices": [choice] if choice else [], **more}).encode() + b"\n\n"


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        self._send(200, json.dumps({"object": "list", "data": self.server.owner.models}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        act = self.server.owner.begin(seen)
        try:
            with suppress(ConnectionError):
                self._reply(seen, act)
        finally:
            self.server.owner.end()

    def _reply(self, seen: Seen, act: Act) -> None:
        owner = self.server.owner
        owner.wait(act.seconds)
        if owner.key and seen.headers.get("authorization") != f"Bearer {owner.key}":
            return self._fail(401, f"Incorrect API key: {seen.headers.get('authorization')}")
        if act.raw is not None:
            return self._send(act.status, act.raw, act.headers)
        if act.status != 200:
            return self._fail(act.status, act.message, act.headers)
        text = owner.speak(seen.messages[-1]["content"])
        if seen.body.get("stream"):
            return self._stream(chunks(text, seen, act), act)
        return self._send(200, json.dumps(completion(text, seen, act)).encode())

    def _fail(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error": {"message": message, "code": status}}).encode(), headers)

    def _stream(self, lines: Iterator[bytes], act: Act) -> None:
        self._head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
        for line in lines:
            self.wfile.write(line)
            self.wfile.flush()
            if act.breaks:
                return
            self.server.owner.wait(act.pause)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        length = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        self._head(status, length | dict(headers or {}))
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""
