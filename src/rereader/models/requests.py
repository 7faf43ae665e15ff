"""Requests to a chat model: so many at a time, made again after passing failures, without what the server refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rereader.models.failures import Server, attempt, explain, said, status_of, unending
from rereader.models.messages import Turn, to_messages, without_system

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

T = TypeVar("T")
Send = Callable[["list[BaseMessage]", dict[str, Any]], Awaitable[T]]
Stream = AsyncIterator["AIMessageChunk"]

_OPTIONAL = ("top_logprobs", "logprobs", "seed", "temperature", "stop")
_USAGE = "stream_options"
_SYSTEM = "system turn"
_BAD_REQUEST = (400, 422)


class Requests:
    """Asks one chat model; to be used from one event loop.

    Args:
        chat: The chat model.
        server: For error messages; its ``timeout`` holds for each attempt.
        concurrency: Most requests at a time.
        retries: Most further attempts.
        note: Told what the user should know, more than once perhaps.
    """

    def __init__(
        self, chat: BaseChatModel, server: Server, concurrency: int, retries: int, note: Callable[[str], None]
    ) -> None:
        self._chat = chat
        self._server = server
        self._retries = retries
        self._note = note
        self._gate = asyncio.Semaphore(concurrency)
        self._refused: set[str] = set()

    async def ask(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> AIMessage:
        """The whole reply.

        Raises:
            ModelError: If no attempt succeeds.
        """

        async def send(messages: list[BaseMessage], sent: dict[str, Any]) -> AIMessage:
            return await self._chat.ainvoke(messages, **sent)

        async with self._gate:
            return await self._attempt(turns, options, send)

    async def stream(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply in chunks; only what fails before the first one is tried again.

        Raises:
            ModelError: If no attempt succeeds, the stream breaks off, or what follows the first chunk takes too long.
        """
        async with self._gate:
            chunk, rest = await self._attempt(turns, options, self._open)
            end = asyncio.get_running_loop().time() + self._server.timeout
            while chunk is not None:
                yield chunk
                chunk = await self._next(rest, end)

    async def _open(self, messages: list[BaseMessage], sent: dict[str, Any]) -> tuple[AIMessageChunk | None, Stream]:
        if _USAGE in self._refused:
            sent = {**sent, "stream_usage": False}
        chunks = self._chat.astream(messages, **sent)
        return await anext(chunks, None), chunks

    async def _next(self, chunks: Stream, end: float) -> AIMessageChunk | None:
        try:
            async with asyncio.timeout_at(end) as limit:
                return await anext(chunks, None)
        except Exception as error:
            raise (unending(self._server) if limit.expired() else explain(error, self._server)) from error

    async def _attempt(self, turns: Sequence[Turn], options: Mapping[str, Any], send: Send[T]) -> T:
        return await attempt(lambda: self._adapting(turns, options, send), self._server, self._retries)

    async def _adapting(self, turns: Sequence[Turn], options: Mapping[str, Any], send: Send[T]) -> T:
        """Send, and send again without what the server refuses to be asked."""
        while True:
            sent = {name: value for name, value in options.items() if name not in self._refused}
            known = frozenset(self._refused)
            shown = without_system(turns) if _SYSTEM in known else turns
            try:
                return await send(to_messages(shown), sent)
            except Exception as error:
                named = refused_part(error, sent)
                if named is None or named in known:
                    raise
                self._refused.add(named)
                self._note(f"The server at {self._server.address} takes no {named}; it is asked without.")


def refused_part(error: Exception, sent: Mapping[str, Any]) -> str | None:
    """Which part of a request that can be left out the server complains of, if it does."""
    status, words = status_of(error), said(error).lower()
    if status in (*_BAD_REQUEST, 500) and ("system role" in words or "system message" in words):
        return _SYSTEM
    if status not in _BAD_REQUEST:
        return None
    named = [name for name in _OPTIONAL if name in sent and name in words]
    return named[0] if named else _USAGE if _USAGE in words else None
