"""Reads what may unpack to any size in a process of its own, within limits on memory and time.

What a PDF unpacks to is known only when it is done, and a small file of elements or rows becomes a large tree. So a
bomb costs a process that ends, not this one. On Linux that process can neither write a file nor reach a network.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

from rereader.schema.errors import InputError, MissingExtra
from rereader.schema.types import Place
from rereader.tools.formats.base import Options, Parsed, TooLarge

MEMORY = 2 * 2**30
MEMORY_FOR_EACH_BYTE = 8
SECONDS = 120
SECONDS_FOR_EACH_MIB = 10
_MODULE = "rereader.tools.formats.apart_child"
_HINT = "It may be made to exhaust a machine; if you trust it, save its text as a text file and give that."


class Apart:
    """A process that reads one file after the other; it is started when it is needed and ended on exit."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, kind: str, data: bytes, name: str, options: Options) -> Parsed:
        """What :func:`rereader.tools.formats.kinds.read` gives.

        Raises:
            InputError: As there, and if the file takes too much memory or time.
            MissingExtra: As there.
        """
        memory = MEMORY + MEMORY_FOR_EACH_BYTE * len(data)
        seconds = SECONDS + SECONDS_FOR_EACH_MIB * len(data) // 2**20
        asked = {"kind": kind, "name": name, "size": len(data), "memory": memory, "seconds": seconds}
        given = {"encoding": options.encoding, "password": options.password, "max_bytes": options.max_bytes}
        try:
            answer, text = self._ask({**asked, "options": given}, data)
        except BaseException:
            self._end()
            raise
        if answer is None:
            raise _lost(name, self._end(), memory, seconds)
        if "error" in answer:
            raise _error(answer)
        places = tuple(Place.model_construct(kind=k, start=start, label=label) for k, start, label in answer["places"])
        return Parsed(text, places, tuple(answer["warnings"]), answer["encoding"])

    def _ask(self, asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any] | None, str]:
        """The answer and the text; ``None`` if the process has ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE],  # -P: no module is taken from the folder that we are in
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process, which ends that one
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            for part in (json.dumps(asked).encode(), b"\n", data):
                self._process.stdin.write(part)
            self._process.stdin.flush()
        return _heard(self._process.stdout)

    def _end(self) -> int:
        """End the process; returns the code that it ended with."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            return process.wait(1.0)  # it ends when its input does
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _heard(stream: BinaryIO | Any) -> tuple[dict[str, Any] | None, str]:
    """The answer and the text; ``None`` if there is no whole one."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None, ""
    answer: dict[str, Any] = json.loads(line)
    size = answer.get("size", 0)
    raw = stream.read(size)
    return (answer, raw.decode()) if len(raw) == size else (None, "")


def _error(answer: dict[str, Any]) -> InputError:
    """The error that the process told of, as the same kind."""
    if answer["error"] == MissingExtra.__name__:
        return MissingExtra(answer["feature"], answer["extra"])
    return (TooLarge if answer["error"] == TooLarge.__name__ else InputError)(answer["message"], answer["hint"])


def _lost(name: str, code: int, memory: int, seconds: int) -> InputError:
    """What a process that ended without an answer says of the file. None of it is about how large a text may be."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return InputError(f"{name} takes more than {seconds:,} seconds to unpack.", _HINT)
    if code == -getattr(signal, "SIGKILL", 0):
        return InputError(f"{name} cannot be read: its reader was killed, perhaps for want of memory.", _HINT)
    if code < 0:  # a library that gets no memory aborts, and what is damaged may crash it
        limit = f"{memory / 2**30:,.1f} GiB of memory to unpack"
        return InputError(f"{name} takes more than {limit}, or is damaged.", _HINT)
    return InputError(f"{name} cannot be read: its reader ended with code {code}.", _HINT)
