"""An event loop on a thread of its own: requests run at the same time and stop at once when they are cancelled."""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

from rereader.models.base import Cancel
from rereader.schema.errors import Interrupted, ModelError

T = TypeVar("T")
_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 5.0


class Background:
    """Runs coroutines for callers that know nothing of them; safe to use from several threads.

    The thread is a daemon, and so are those that blocking calls inside it get, so that a server that hangs keeps no
    process alive.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_Daemons())
        self._thread = threading.Thread(target=_serve, args=(self._loop,), name=name, daemon=True)
        self._thread.start()
        self._stop = weakref.finalize(self, _stop, self._loop)

    def run(self, work: Coroutine[Any, Any, T], cancel: Cancel | None = None) -> T:
        """The result of a coroutine; it is cancelled when ``cancel`` is set or the caller is interrupted.

        Raises:
            Interrupted: If ``cancel`` was set.
            ModelError: If :meth:`close` was called before.
        """
        future = self._submit(work)
        try:
            while not future.done():
                _check(cancel)
                wait([future], timeout=_POLL_SECONDS)
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def stream(self, work: AsyncIterator[str], cancel: Cancel | None = None) -> Iterator[str]:
        """The pieces of an asynchronous iterator as they come; closing this one stops that one."""
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        future = self._submit(_pump(work, pieces.put))
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := _next(pieces, cancel)) is not None:
                yield piece
        except BaseException:
            future.cancel()
            raise
        future.result()

    def close(self) -> None:
        """Cancel what runs and end the thread; safe to call twice."""
        self._stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_SECONDS)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if not self._stop.alive:
            work.close()
            raise ModelError(f"The model {self.name} is closed.", "Open it again.")
        return asyncio.run_coroutine_threadsafe(work, self._loop)


async def together(jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], finished: dict[int, T]) -> list[T]:
    """All results in order; the first failure cancels the rest.

    Args:
        jobs: What to do at the same time.
        finished: Each result is put here by its position as it comes, for those who want what there is after a failure.
    """

    async def do(position: int, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        finished[position] = result = await job()
        return result

    tasks = [asyncio.ensure_future(do(position, job)) for position, job in enumerate(jobs)]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _pump(work: AsyncIterator[str], put: Callable[[str], None]) -> None:
    async for piece in work:
        put(piece)


def _next(pieces: queue.SimpleQueue[str | None], cancel: Cancel | None) -> str | None:
    while True:
        _check(cancel)
        try:
            return pieces.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue


def _check(cancel: Cancel | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Interrupted("The model was stopped before it finished its reply.", "Resume the run to go on.")


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Daemons(ThreadPoolExecutor):
    """Runs every job on a daemon thread; those of the base class are waited for when the process ends."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start a job."""
        future: Future[T] = Future()
        threading.Thread(target=_fill, args=(future, partial(fn, *args, **kwargs)), daemon=True).start()
        return future


def _fill(future: Future[T], job: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
