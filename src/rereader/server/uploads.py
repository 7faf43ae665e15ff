"""Files that came with requests and wait to be read: on disk, without a name, and not more than there is room for."""

from __future__ import annotations

import tempfile
import threading
from contextlib import suppress

from starlette.requests import Request

from rereader.server.errors import Refused
from rereader.server.limits import MOST_UPLOAD

MOST_BYTES = 4 * MOST_UPLOAD
"""Bytes that the files which wait, or are still coming, may take together."""


class Upload:
    """One file; it is gone when it is closed, or when the server is.

    Args:
        room: What its bytes are counted in.
    """

    def __init__(self, room: Uploads) -> None:
        self._room = room
        self._size = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever does the work closes it

    def write(self, part: bytes) -> None:
        """Add to it.

        Raises:
            Refused: If the files that wait would take too much.
            OSError: If the disk is full.
        """
        self._room.take(len(part))
        self._size += len(part)
        self._file.write(part)

    def finish(self) -> None:
        """Have all of it on the disk, so that a full disk is noticed while somebody waits for the answer.

        Raises:
            OSError: If the disk is full.
        """
        self._file.flush()

    def read(self) -> bytes:
        """All of it."""
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Let go of it; a second time does nothing."""
        size, self._size = self._size, 0
        self._room.give_back(size)
        self._file.close()  # the file is gone even if this raises, on a disk that is full


class Uploads:
    """The room that files take until they are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0

    def take(self, size: int) -> None:
        """Count bytes in.

        Raises:
            Refused: If there is no room for them.
        """
        with self._lock:
            self._check(size)
            self._bytes += size

    def give_back(self, size: int) -> None:
        """Count bytes out."""
        with self._lock:
            self._bytes -= size

    async def received(self, request: Request) -> Upload:
        """A request's body as a file.

        Raises:
            Refused: If there is no room for it.
        """
        with self._lock:
            self._check(1)  # where the room is full, no byte of the body is waited for
        upload = Upload(self)
        try:
            async for part in request.stream():
                upload.write(part)
            upload.finish()
        except BaseException as error:
            with suppress(OSError):
                upload.close()
            if isinstance(error, OSError):
                raise Refused(507, "There is no room for the file.", "Free some space and try again.") from error
            raise
        return upload

    def _check(self, size: int) -> None:
        if self._bytes + size > MOST_BYTES:
            msg = f"The files that wait to be read take {self._bytes / 1e6:,.0f} MB already."
            raise Refused(429, msg, "Wait until some of them are read.")
