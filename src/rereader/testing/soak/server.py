"""A server in a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_STARTING_SECONDS = 120.0
_STOPPING_SECONDS = 30.0


@dataclass(frozen=True)
class Running:
    """A server that runs: its address without and its key, and its process."""

    url: str
    token: str
    process: psutil.Process

    def memory(self) -> int:
        """Bytes of main memory that it holds."""
        return int(self.process.memory_info().rss)


@contextmanager
def serve(workspace: Path, models: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[Running]:
    """Run ``rereader serve`` on a free port of the loopback interface, and stop it as Ctrl-C does.

    Args:
        workspace: The folder of the library.
        models: Options that name the models.
        environment: Variables of the process, beside those of this one.
        folder: Where its output goes.

    Raises:
        RuntimeError: If it does not start.
    """
    command = [sys.executable, "-m", "rereader", "serve", "--port", "0", "--json", "--quiet"]
    with (folder / "serve.out").open("wb") as out, (folder / "serve.err").open("wb") as err:
        process = subprocess.Popen(
            [*command, "--workspace", str(workspace), *models],
            stdout=out,
            stderr=err,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        )
    try:
        told = _announced(process, folder / "serve.out")
        yield Running(told["url"].partition("/?")[0], told["token"], psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _announced(process: subprocess.Popen[bytes], out: Path) -> dict[str, str]:
    until = time.monotonic() + _STARTING_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            told: dict[str, str] = json.loads(out.read_text(encoding="utf-8"))
        except ValueError:
            time.sleep(0.05)
        else:
            return told
    raise RuntimeError("The server did not start.")
