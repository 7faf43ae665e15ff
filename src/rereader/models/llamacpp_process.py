"""Starts, asks and ends the process that runs llama.cpp; started anew when a prompt needs a longer context."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rereader.schema.errors import Interrupted, ModelError

_POLL_SECONDS = 0.05
_STOP_SECONDS = 60.0
"""A stop takes as long as one batch of the prompt; after this the process is killed."""
_LEAST_CONTEXT = 4096
_MODULE = "rereader.models.llamacpp_child"
Message = dict[str, Any]


@dataclass(frozen=True)
class ProcessSettings:
    """What the process is started with.

    Args:
        model: The GGUF file.
        window: The model's window in tokens; the context never grows beyond.
        harmless: A token that is a whole character.
        vocabulary: Number of tokens.
        threads: Threads that compute.
        cache_mib: Most MiB for the keys and values of earlier prompts.
        batch: Tokens of a prompt that are read at once, between two looks at whether to stop.
        exact: Whether keys, values and attention have 32 bits; as a rule they have 16, which is faster and smaller.
    """

    model: Path
    window: int
    harmless: int
    vocabulary: int
    threads: int
    cache_mib: int = 512
    batch: int = 128
    exact: bool = False


@dataclass
class LlamaProcess:
    """At most one process at a time. Not thread-safe: one worker owns it."""

    settings: ProcessSettings
    starting: float = 0.0
    """Seconds that went by so far until processes had loaded the weights."""
    _child: subprocess.Popen[bytes] | None = None
    _lines: queue.SimpleQueue[Message | None] = field(default_factory=queue.SimpleQueue)
    _said: IO[bytes] | None = None
    _context: int = 0
    _jobs: int = 0

    @property
    def pid(self) -> int | None:
        """Id of the running process."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def run(self, job: Message, tokens: int, stopped: Callable[[], bool]) -> Iterator[Message]:
        """Do a job and yield its lines; the last one has ``done``.

        Args:
            job: What to do.
            tokens: Most tokens that prompt and reply take together.
            stopped: Looked at often; once true the job is stopped, and the remaining lines still come.

        Raises:
            ModelError: If the process cannot be started, fails or ends.
            Interrupted: If ``stopped`` says so before the weights are loaded.
        """
        tokens = min(tokens, self.settings.window)
        if self.pid is None or tokens > self._context:
            asked = time.monotonic()
            try:
                self._start(tokens, stopped)
            finally:
                self.starting += time.monotonic() - asked
        self._jobs += 1
        self._send({**job, "id": self._jobs})
        yield from self._answers(self._jobs, stopped)

    def end(self) -> None:
        """End the process; safe to call twice."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, self._said):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not sent before it died
                    stream.close()

    def _answers(self, job: int, stopped: Callable[[], bool]) -> Iterator[Message]:
        going, waits = True, 0
        try:
            while going:
                waits = self._watch(job, waits, stopped)
                line = self._line(job)
                if line is not None:
                    going = "done" not in line and "error" not in line
                    yield _checked(line)
        finally:
            if going and self.pid is not None:
                self._send({"stop": job})

    def _line(self, job: int) -> Message | None:
        try:
            line = self._lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return None
        if line is None:
            raise self._ended()
        return line if line["id"] == job else None

    def _watch(self, job: int, waits: int, stopped: Callable[[], bool]) -> int:
        if not stopped():
            return 0
        if waits == 0:
            self._send({"stop": job})
        if waits * _POLL_SECONDS > _STOP_SECONDS:
            self.end()
            raise ModelError("llama.cpp did not stop and was ended.", "Ask again; the model is loaded anew.")
        return waits + 1

    def _start(self, tokens: int, stopped: Callable[[], bool]) -> None:
        self.end()
        self._context = self._size(tokens)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._child.stdout, self._lines), daemon=True).start()
        settings = self.settings
        self._send(
            {
                "model": str(settings.model),
                "context": self._context,
                "harmless": settings.harmless,
                "vocabulary": settings.vocabulary,
                "threads": settings.threads,
                "cache_mib": settings.cache_mib,
                "batch": settings.batch,
                "exact": settings.exact,
            }
        )
        self._await_loaded(stopped)

    def _await_loaded(self, stopped: Callable[[], bool]) -> None:
        while True:
            if stopped():
                self.end()
                raise Interrupted("Stopped while the model was loading.", "Resume the run to go on.")
            with contextlib.suppress(queue.Empty):
                if self._lines.get(timeout=_POLL_SECONDS) is None:
                    raise self._ended()
                return

    def _size(self, tokens: int) -> int:
        size = _LEAST_CONTEXT
        while size < tokens:
            size *= 2
        return min(size, self.settings.window)

    def _send(self, message: Message) -> None:
        assert self._child is not None and self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(message).encode() + b"\n")
            self._child.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> ModelError:
        """The error of a process that ended by itself, with the last thing it said."""
        said = b""
        if self._said is not None:
            self._said.seek(0)
            said = self._said.read()
        lines = said.decode("utf-8", "replace").strip().splitlines()
        self.end()
        reason = f": {lines[-1].strip()}" if lines else ", perhaps for want of memory"
        hint = "Check the GGUF file and the memory, or use --runtime transformers."
        return ModelError(f"The process of llama.cpp for {self.settings.model.name} ended{reason}.", hint)


def _checked(line: Message) -> Message:
    if "error" in line:
        raise ModelError(f"llama.cpp failed: {line['error']}.", "Use --runtime transformers.")
    return line


def _read(stream: IO[bytes], lines: queue.SimpleQueue[Message | None]) -> None:
    try:
        for line in stream:
            lines.put(json.loads(line))
    except ValueError:  # closed under our hands, or cut off by a crash
        pass
    lines.put(None)
