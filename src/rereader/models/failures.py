"""What went wrong at a server, said in one line; and which failures are worth another attempt."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rereader.schema.errors import ModelError, RereaderError

T = TypeVar("T")
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_LONGEST_ASKED = 120.0
_MOST_SLOW = 2
"""Attempts that may run out of time: each takes the whole of it, in silence."""
_PATIENCE_SECONDS = 2.0
_TOO_MANY_REQUESTS = 429
_LOST = {"TransportError", "APIConnectionError", "ModelConnectionError", "ConnectionError"}
_ABSENT = {"ConnectError", "ConnectTimeout", "ConnectionRefusedError", "gaierror"}
_SLOW = {"TimeoutError", "TimeoutException", "APITimeoutError", "ModelTimeoutError"}
_TOO_LONG = re.compile(r"context|too long|too many tokens|maximum.{0,20}tokens|n_ctx|max_model_len", re.IGNORECASE)
_SHOWN = 200
_BLANK = re.compile(r"\s+")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """What an error message may say of a server.

    Args:
        model: The model's name.
        address: Where it listens, or the provider's name.
        key_env: The variable that holds the key, if one was named.
        key: The key itself, which is struck out of everything that is shown.
        timeout: Seconds that a reply may take.
    """

    model: str
    address: str
    key_env: str | None = None
    key: str = field(default="", repr=False)
    timeout: float = 300.0

    def redact(self, text: str) -> str:
        """One line of at most 200 characters without the key."""
        line = _BLANK.sub(" ", text.replace(self.key, "***") if self.key else text).strip()
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def status_of(error: BaseException) -> int | None:
    """The HTTP status (400 or above) that an error stands for, if it does."""
    for one in _chain(error):
        for holder in (one, getattr(one, "response", None)):
            status = getattr(holder, "status_code", None)
            if isinstance(status, int) and status >= 400:
                return status
    return None


def said(error: BaseException) -> str:
    """The server's own words about an error, or the error's."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        words = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
        if isinstance(words, str) and words:
            return words
    return str(error) or type(error).__name__


def is_timeout(error: BaseException) -> bool:
    """Whether the server did not reply in time; a connection that was not made in time is lost, not slow."""
    names = _names(error)
    return bool(names & _SLOW) and "ConnectTimeout" not in names


def is_lost(error: BaseException) -> bool:
    """Whether there was no connection, or it broke."""
    return bool(_names(error) & _LOST)


def is_passing(error: BaseException) -> bool:
    """Whether another attempt may succeed: lost or slow, too many requests, or a fault of the server."""
    status = status_of(error)
    if status is not None:
        return status == _TOO_MANY_REQUESTS or status >= 500
    return is_lost(error) or is_timeout(error)


def explain(error: BaseException, server: Server) -> ModelError:
    """Our error for what a server or its client raised."""
    if isinstance(error, ModelError):
        return error
    status, words = status_of(error), server.redact(said(error))
    if status is not None:
        return _by_status(status, words, server)
    if is_timeout(error):
        msg = f"The server at {server.address} gave no reply within {server.timeout:g} s."
        return ModelError(msg, "Raise the endpoint's timeout, or lower its concurrency.")
    if is_lost(error):
        if _names(error) & _ABSENT:
            msg = f"No server answers at {server.address} ({_root(error, server)})."
            return ModelError(msg, "Start it, or correct its address (base_url).")
        msg = f"The connection to the server at {server.address} broke off ({_root(error, server)})."
        return ModelError(msg, "See whether the server still runs, then try again.")
    return unreadable(f"{type(error).__name__}: {words}", server)


def unreadable(what: str, server: Server) -> ModelError:
    """The error for a reply that is none."""
    msg = f"The server at {server.address} gave a reply that cannot be read ({what})."
    return ModelError(msg, "Check that the address is that of a chat API (it often ends in /v1).")


def unending(server: Server) -> ModelError:
    """The error for a reply that began in time and did not end."""
    msg = f"The reply of the server at {server.address} did not end within {server.timeout:g} s."
    return ModelError(msg, "Raise the endpoint's timeout, or lower its concurrency.")


async def attempt(call: Callable[[], Awaitable[T]], server: Server, retries: int) -> T:
    """The result of a call, made again after passing failures with growing pauses, or after what the server asks for.

    Pauses begin with half a second, double, and are shortened at random by up to a half, so that many clients do not
    come back at the same moment. What takes seconds is told as a warning of the log: an attempt that ran out of time,
    which is made again once at most, and a long pause.

    Args:
        call: Makes one attempt; each may take ``server.timeout`` seconds.
        server: For the error message.
        retries: Most further attempts.

    Raises:
        ModelError: If no attempt succeeded; it says how many there were.
    """
    slow = 0
    for number in range(retries + 1):
        try:
            async with asyncio.timeout(server.timeout):
                return await call()
        except RereaderError:
            raise
        except Exception as error:
            pause, late = _pause(error, number), is_timeout(error)
            slow += late
            if number == retries or slow == _MOST_SLOW or pause is None or not is_passing(error):
                raise _after(number + 1, explain(error, server)) from error
            if late or pause > _PATIENCE_SECONDS:
                _log.warning("%s It is asked again in %.0f s.", explain(error, server).message, pause)
            await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _after(attempts: int, error: ModelError) -> ModelError:
    """The error of the last of so many attempts."""
    return error if attempts == 1 else ModelError(f"{error.message} It was asked {attempts} times.", error.hint)


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait (``Retry-After`` as a number or a date), or ``None``."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("retry-after") or "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _pause(error: BaseException, number: int) -> float | None:
    """Seconds before the next attempt; ``None`` when the server asks for more than two minutes."""
    asked = retry_after(error)
    if asked is not None:
        return asked if asked <= _LONGEST_ASKED else None
    longest: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**number)
    return longest * random.uniform(0.5, 1.0)


def _by_status(status: int, words: str, server: Server) -> ModelError:
    where = f"The server at {server.address}"
    if status in (401, 403):
        name = server.key_env
        hint = f"Correct the key in the environment variable {name}." if name else _NAME_THE_KEY
        return ModelError(f"{where} refuses the key ({status}).", hint)
    if status in (400, 413, 422) and _TOO_LONG.search(words):
        hint = "Set the endpoint's context_window to what the server allows, or ask for less text at once."
        return ModelError(f"The prompt is too long for {server.model} ({status}: {words}).", hint)
    if status == 404:
        hint = "Check the model's name, and the address: it often ends in /v1."
        return ModelError(f"{where} does not know the model {server.model} (404: {words}).", hint)
    if status == _TOO_MANY_REQUESTS:
        return ModelError(f"{where} takes no more requests for now (429: {words}).", "Wait, or lower its concurrency.")
    if status >= 500:
        return ModelError(f"{where} failed ({status}: {words}).", "See the server's own log, then try again.")
    return ModelError(f"{where} refuses the request ({status}: {words}).", "Check the model's name and settings.")


_NAME_THE_KEY = "Name the environment variable that holds the key with --api-key-env or api_key_env."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}


def _root(error: BaseException, server: Server) -> str:
    innermost = list(_chain(error))[-1]
    return server.redact(str(innermost) or type(innermost).__name__)
