"""One thread that owns a model: callers queue up, so many threads get what one thread would get."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from rereader.schema.errors import ModelError

T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """Runs jobs one after the other, in the order of their arrival, on one daemon thread.

    Args:
        name: Name of the thread.
        start: Called once on the thread before the first job (for instance to set its thread count).
    """

    def __init__(self, name: str, start: Callable[[], None] | None = None) -> None:
        self.name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=_serve, args=(self._jobs, start), name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Queue a job; its result, or the exception it raised, travels back in the future.

        Raises:
            ModelError: If the worker is closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise ModelError(f"The model {self.name} is closed.", "Load it again.")
            self._jobs.put((future, job))
        return future

    def call(self, job: Callable[[], T]) -> T:
        """Run a job and wait for it; a job that calls from the worker's own thread runs at once."""
        if threading.current_thread() is self._thread:
            return job()
        return self.submit(job).result()

    def close(self, timeout: float | None = 10.0) -> None:
        """Refuse new jobs, finish those that wait, end the thread; safe to call twice.

        Args:
            timeout: Seconds to wait for the thread; ``None`` waits for ever.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)


def _serve(jobs: queue.SimpleQueue[_Job | None], start: Callable[[], None] | None) -> None:
    failed = None
    if start is not None:
        failed = _try(start)
    while (entry := jobs.get()) is not None:
        _run(*entry) if failed is None else entry[0].set_exception(failed)
        # A finished job must not keep its tensors alive while the thread waits for the next one.
        del entry


def _try(start: Callable[[], None]) -> Exception | None:
    """What went wrong at the start; every job is told."""
    try:
        start()
    except Exception as error:
        return error
    return None


def _run(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
