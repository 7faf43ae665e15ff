"""Runs a model's code in a process of its own that can do nothing but compute and ask us.

Walls, from the inside out: an allow-list of syntax and names (:mod:`rereader.tools.sandbox_rules`), an audit hook,
resource limits, and on Linux an empty network name space, Landlock and a filter of system calls, as far as the kernel
has them (:mod:`rereader.tools.sandbox_lock`); an empty environment and folder; and this side, which ends the whole
process group when a block takes too long, and believes nothing that comes over the pipe beyond its size and shape.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rereader.models.replies import sound
from rereader.schema import InputError, Interrupted, ModelError

_POLL_SECONDS = 0.05
_START_SECONDS = 60.0
_READ_BYTES = 1 << 16
_BYTES_PER_CHARACTER = 24
"""The text is held as bytes, as JSON and as a string for a moment; a character takes up to 4 bytes in each."""
Message = dict[str, Any]
Answering = Callable[[str, Sequence[str], Sequence[str]], Sequence[str]]
"""Kind of call (``llm`` or ``rlm``), prompts and, for ``rlm``, texts -> replies."""


class CallRefused(Exception):
    """A call that the host does not make; the code is told why and may go on."""


@dataclass(frozen=True)
class SandboxLimits:
    """What code may use.

    Args:
        block_seconds: Seconds of wall-clock time of a block, without the time that its calls of models take.
        cpu_seconds: Seconds of processor time in all.
        memory_bytes: Bytes of address space beside the text.
        output_characters: Characters that a block may print; the rest is counted and dropped.
        message_bytes: Bytes of one message from the code, such as a batch of prompts.
        depth: 2 and more offers ``rlm_query``.
    """

    block_seconds: float = 20.0
    cpu_seconds: int = 300
    memory_bytes: int = 512 << 20
    output_characters: int = 20_000
    message_bytes: int = 32 << 20
    depth: int = 1


@dataclass(frozen=True)
class Ran:
    """What came of a block.

    Args:
        output: What it printed.
        left_out: Characters that it printed beyond the limit.
        error: Why it failed, in a line; empty if it did not.
        final: The answer that it gave.
        variables: Name, type, length and beginning of each variable.
        lost: The process was ended, and all variables with it.
    """

    output: str = ""
    left_out: int = 0
    error: str = ""
    final: str | None = None
    variables: tuple[tuple[str, str, str, str], ...] = ()
    lost: bool = False


class _Gone(Exception):
    """The process is not there any more, or was ended; the message says why."""


def require_sandbox() -> None:
    """Refuse a platform that cannot limit a process.

    Raises:
        InputError: Where there are no resource limits.
    """
    if sys.platform not in ("linux", "darwin"):
        msg = f"Code written by a model cannot be locked in on {sys.platform}: it has no resource limits."
        raise InputError(msg, "Use mode=actions, or run it on Linux.")


@dataclass
class Sandbox:
    """One process; it is started by the first block and again by the next one after it was lost.

    Args:
        text: What the code finds as ``P``.
        limits: What it may use.
        stopped: Looked at often; once true the process is ended and :class:`Interrupted` raised.
    """

    text: str
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    stopped: Callable[[], bool] = lambda: False
    layers: tuple[str, ...] = ()
    """Walls that hold in the running process, outermost first."""

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        self._heard = bytearray()

    @property
    def pid(self) -> int | None:
        """Id of the running process, which is also that of its group."""
        return self._process.pid if self._process is not None else None

    def run(self, code: str, answer: Answering) -> Ran:
        """Run a block; variables of earlier ones are there.

        Args:
            code: The block.
            answer: Makes its calls of models. What it raises ends the process and is raised here, but for
                :class:`CallRefused`, which the code is told.

        Raises:
            InputError: Where there are no resource limits.
            Interrupted: If ``stopped`` says so.
            ModelError: If the process cannot be started.
        """
        if self._process is not None and self._process.poll() is not None:
            self.close()
            return Ran(error="the process was ended between two blocks; nothing was run", lost=True)
        self._start()
        try:
            return self._run(code, answer)
        except _Gone as gone:
            self.close()
            return Ran(error=str(gone), lost=True)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process and all that it may have started; safe to call twice."""
        self._end()
        self._process, self._end, self._heard = None, lambda: None, bytearray()

    def _run(self, code: str, answer: Answering) -> Ran:
        left = self.limits.block_seconds
        self._say({"run": code})
        while True:
            began = time.monotonic()
            message = self._hear(left)
            left -= time.monotonic() - began
            if "call" not in message:
                return _checked(message, self.limits.output_characters)
            self._say(_answered(message, answer))

    def _start(self) -> None:
        if self._process is not None:
            return
        require_sandbox()
        folder = tempfile.TemporaryDirectory(prefix="rereader-")
        process = subprocess.Popen(
            # As -I, but that would leave out PYTHONHASHSEED, and blocks that are run again must do the same again.
            [sys.executable, "-P", "-s", "-S", str(Path(__file__).with_name("sandbox_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder.name,
            env={"PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        self._process = process
        self._end = weakref.finalize(self, _end, process, folder)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        self._open()

    def _open(self) -> None:
        memory = self.limits.memory_bytes + _BYTES_PER_CHARACTER * len(self.text)
        first = {"memory": memory, "seconds": self.limits.cpu_seconds, "output": self.limits.output_characters}
        try:
            self._say({**first, "text": self.text, "depth": self.limits.depth})
            self.layers = tuple(str(layer) for layer in self._hear(_START_SECONDS).get("ready", ()))
        except _Gone as gone:
            self.close()
            hint = "Use mode=actions."
            raise ModelError(f"The process for the model's code could not be started: {gone}.", hint) from gone

    def _say(self, message: Message) -> None:
        assert self._process is not None and self._process.stdin is not None
        left = memoryview(json.dumps(message).encode() + b"\n")
        pipe, end = self._process.stdin.fileno(), time.monotonic() + _START_SECONDS
        while left:
            self._wait([], [pipe], end)
            try:
                left = left[os.write(pipe, left) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise _Gone(_why(self._process)) from error

    def _hear(self, seconds: float) -> Message:
        assert self._process is not None and self._process.stdout is not None
        pipe, end = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._heard:
            self._wait([pipe], [], end)
            got = os.read(pipe, _READ_BYTES)
            if not got:
                raise _Gone(_why(self._process))
            self._heard += got
            if len(self._heard) > self.limits.message_bytes:
                raise _Gone("the process was ended: a message was too large")
        line, _, rest = bytes(self._heard).partition(b"\n")
        self._heard = bytearray(rest)
        return _parsed(line)

    def _wait(self, reading: list[int], writing: list[int], end: float) -> None:
        """Until a pipe is ready; looks at the clock and at whether to stop."""
        while True:
            if self.stopped():
                raise Interrupted("Stopped while code was running.", "Resume the run to go on.")
            if time.monotonic() > end:
                raise _Gone(f"the process was ended: it took longer than {self.limits.block_seconds:g} seconds")
            if any(select.select(reading, writing, [], _POLL_SECONDS)):
                return


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    """Kill the whole group, reap its leader and remove its folder."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    folder.cleanup()


def _why(process: subprocess.Popen[bytes]) -> str:
    """Why a process ended by itself."""
    try:
        code = process.wait(1.0)
    except subprocess.TimeoutExpired:
        return "the process closed its pipe"
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return "the process was ended: it took too much time or memory"
    return "the process ended, perhaps for want of memory"


def _parsed(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Gone("the process was ended: it said what makes no sense") from error
    if not isinstance(message, dict):
        raise _Gone("the process was ended: it said what makes no sense")
    return {key: _sound(value) for key, value in message.items()}


def _sound(value: Any) -> Any:
    """The same with texts that can be stored: code may have made halves of characters."""
    if isinstance(value, list):
        return [_sound(one) for one in value]
    return sound(value) if isinstance(value, str) else value


def _answered(message: Message, answer: Answering) -> Message:
    prompts, texts = message.get("prompts"), message.get("texts")
    if not _are_texts(prompts) or not _are_texts(texts) or message["call"] not in ("llm", "rlm"):
        raise _Gone("the process was ended: it said what makes no sense")
    try:
        return {"replies": list(answer(message["call"], prompts or [], texts or []))}
    except CallRefused as refused:
        return {"refused": str(refused)}


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _checked(message: Message, most: int) -> Ran:
    """A block's result as far as it has the right shape; the process may have been turned against us."""
    final, left_out, rows = message.get("final"), message.get("left_out"), message.get("variables")
    rows = rows if isinstance(rows, list) else []
    return Ran(
        output=str(message.get("output", ""))[:most],
        left_out=left_out if isinstance(left_out, int) else 0,
        error=str(message.get("error", "")),
        final=final if isinstance(final, str) else None,
        variables=tuple((row[0], row[1], row[2], row[3]) for row in rows if _are_texts(row) and len(row) == 4),
    )
