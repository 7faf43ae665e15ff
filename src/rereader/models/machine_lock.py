"""One model computes per machine and user: a lock file that every process takes around a call, not while idle."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from rereader.schema.errors import Interrupted, StoreError
from rereader.schema.events import Cancelled

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 2.0
_log = logging.getLogger(__name__)


def lock_path() -> Path:
    """The lock file of this user on this machine (several machines may share a home folder)."""
    from platformdirs import user_cache_path

    return user_cache_path("rereader", appauthor=False) / f"computing-{platform.node()}.lock"


@contextmanager
def computing(name: str, cancelled: Cancelled, path: Path | None = None) -> Iterator[None]:
    """Hold the lock; wait for whoever holds it, and say so once after two seconds.

    Two models that compute at once on the same cores slow each other down far more than by half, because llama.cpp's
    threads wait for each other without sleeping.

    Args:
        name: The model that waits, for the message.
        cancelled: Whether to give up waiting.
        path: The lock file; by default that of the user.

    Raises:
        Interrupted: If ``cancelled`` says so while waiting.
        StoreError: If the lock file cannot be made.
    """
    lock = _open(path or lock_path())
    started = time.monotonic()
    said = False
    while not _taken(lock):
        if cancelled():
            raise Interrupted("Stopped while another model was at work.", "Resume the run to go on.")
        if not said and time.monotonic() - started > _PATIENCE_SECONDS:
            said = True
            _log.warning("%s waits: another process of yours lets a model compute on this machine.", name)
    try:
        yield
    finally:
        lock.release()


def _open(path: Path) -> filelock.FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(path, thread_local=False)
    except OSError as error:
        raise _unwritable(path) from error


def _taken(lock: filelock.FileLock) -> bool:
    try:
        lock.acquire(timeout=_POLL_SECONDS, poll_interval=_POLL_SECONDS / 4)
    except filelock.Timeout:
        return False
    except OSError as error:
        raise _unwritable(Path(lock.lock_file)) from error
    return True


def _unwritable(path: Path) -> StoreError:
    hint = "Mend the folder's permissions, or set XDG_CACHE_HOME to a folder of your own."
    return StoreError(f"The lock file {path} cannot be written.", hint)
