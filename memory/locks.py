"""Locks between processes: a file for each thing that one process at a time may work on.

They say who is at work; what keeps the rows whole is SQLite. The system lets go of a lock when its process dies.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rereader.memory.database import translated
from rereader.models.files import PRIVATE_FILE
from rereader.schema import AtWork

if TYPE_CHECKING:  # whoever looks at a run that has ended takes no lock
    from filelock import FileLock


def lock_at(path: Path) -> FileLock:
    """The lock of a file, which is made when it is first taken."""
    from filelock import FileLock

    return FileLock(path, mode=PRIVATE_FILE)


def taken(lock: FileLock, seconds: float = 0.0) -> bool:
    """Take a lock if nobody has it, or whoever has it lets go within so many seconds.

    Raises:
        StoreError: If its file cannot be made.
    """
    from filelock import Timeout

    with translated(Path(lock.lock_file)):
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            return False
    return True


def held(path: Path) -> bool:
    """Whether some process holds the lock; makes no file where there is none.

    Who asks shares it for a moment with others who ask, so that none takes another for who is at work.

    Raises:
        StoreError: If the file cannot be read.
    """
    with translated(path), suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def alone(path: Path, message: str, hint: str, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock, or refuse to wait for it longer than so many seconds.

    Raises:
        AtWork: If somebody has it: ``message`` and ``hint``.
        StoreError: If its file cannot be made.
    """
    lock = lock_at(path)
    if not taken(lock, seconds):
        raise AtWork(message, hint)
    try:
        yield
    finally:
        lock.release()


def caring(workspace: Path) -> AbstractContextManager[None]:
    """Hold the lock that one process has while it repairs or tidies a workspace.

    Runs, forks and ``remove`` do not ask for it: what they work on is told by locks of their own. Nor does ``restore``,
    which replaces a workspace only if no process has its library open.

    Raises:
        AtWork: If another one has it.
    """
    told = f"Another process takes care of the workspace {workspace} now."
    return alone(workspace / "care.lock", told, "Wait for it to end, then run the same again.")
