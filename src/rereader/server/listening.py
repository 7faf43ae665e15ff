"""The address that the server listens on, its key, and the server that stops its work before it stops itself."""

from __future__ import annotations

import errno
import ipaddress
import re
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import uvicorn

from rereader.models.loopback import is_loopback
from rereader.schema import InputError
from rereader.server.app import make_app
from rereader.server.backend import Backend
from rereader.server.guard import Guard, Rules

TOKEN_VARIABLE = "REREADER_TOKEN"
_SOUND_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,200}")
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_STOPPING_SECONDS = 30
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep a connection: one that the server closes while a request is under way looks broken."""
_LAST_PORT = 65_535


@dataclass(frozen=True)
class Listening:
    """A socket that listens, and who may ask through it."""

    socket: socket.socket
    host: str
    rules: Rules

    @property
    def url(self) -> str:
        """The address to open, with the key in it."""
        host = "localhost" if self.rules.hosts is None and _is_any(self.host) else _bracketed(self.host)
        return f"http://{host}:{self.rules.port}/?token={self.rules.token}"


def listen(host: str, port: int, token: str, *, allow_remote: bool = False) -> Listening:
    """Listen on an address.

    Args:
        host: A name or address of this machine.
        port: The port; 0 for any that is free.
        token: The key.
        allow_remote: Whether other machines may be listened to.

    Raises:
        InputError: If the port is taken, the address is not this machine's, or it could be reached from others and
            ``allow_remote`` is not said.
    """
    if not 0 <= port <= _LAST_PORT:
        raise InputError(f"There is no port {port}.", f"Ports are 0 to {_LAST_PORT}.")
    host = host.strip("[]")
    remote = not is_loopback(host)
    if remote and not allow_remote:
        msg = f"Other machines could reach the server at {host!r}, and what they send is not encrypted."
        raise InputError(msg, "Leave --host out, or add --allow-remote in a network that you trust.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        bound = socket.create_server((host, port), family=family, backlog=128)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio leaves it out for a socket that is given
    except (OSError, UnicodeError) as error:
        raise _not_bound(host, port, error) from error
    number = int(bound.getsockname()[1])
    hosts = None if remote else _OWN_NAMES | {_bracketed(host).lower()}
    return Listening(bound, host, Rules(token, number, hosts))


def new_token(environment: Mapping[str, str]) -> str:
    """The key of a start: a random one, or what the environment says.

    Raises:
        InputError: If that is too short or not fit for an address.
    """
    given = environment.get(TOKEN_VARIABLE)
    if given is None:
        return secrets.token_urlsafe(24)
    if not _SOUND_TOKEN.fullmatch(given):
        msg = f"{TOKEN_VARIABLE} must have 16 to 200 letters, digits and signs of - _ . ~"
        raise InputError(f"{msg}.", "Leave it unset for a random one.")
    return given


class Server(uvicorn.Server):
    """Serves a backend; told to stop, it stops the work at its next token and ends the streams, then itself.

    Args:
        backend: What is served.
        listening: Where.
    """

    def __init__(self, backend: Backend, listening: Listening) -> None:
        app: Guard = make_app(backend, listening.rules)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOPPING_SECONDS,
        )
        super().__init__(config)
        self._backend = backend
        self._socket = listening.socket

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop."""
        # The signal may have come while this thread held the lock of the queue.
        threading.Thread(target=self._backend.desk.stop_all).start()
        super().handle_exit(sig, frame)

    def serve_until_stopped(self) -> None:
        """Serve, until Ctrl-C or a signal to end."""
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal again when all is done
            self.run(sockets=[self._socket])

    def stop(self) -> None:
        """Stop serving, from another thread."""
        self._backend.desk.stop_all()
        self.should_exit = True


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _not_bound(host: str, port: int, error: Exception) -> InputError:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return InputError(f"Port {port} of {host} is in use.", "Choose another with --port; --port 0 takes any.")
    if number == errno.EACCES:
        return InputError(f"Port {port} may not be used.", "Choose one above 1023 with --port.")
    return InputError(f"{host} is no address of this machine.", "Leave --host out for 127.0.0.1.")
