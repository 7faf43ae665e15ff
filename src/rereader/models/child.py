"""Run a Python module in a process of its own, so that it can be stopped and its memory is given back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from rereader.models.base import Cancel
from rereader.models.files import check_cancel

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0


def run_module(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cancel: Cancel | None = None,
) -> tuple[int, str]:
    """Run ``python -m module arguments`` and return its exit code and what it wrote (both streams together).

    Args:
        module: Name of the module.
        arguments: Its arguments.
        environment: Variables to set on top of this process's own.
        cancel: When set, the process is ended.

    Raises:
        Interrupted: If ``cancel`` was set.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})},
    )
    with process:
        try:
            output = _wait(process, cancel)
        finally:
            _end(process)
    return process.returncode, output.decode("utf-8", "replace")


def _wait(process: subprocess.Popen[bytes], cancel: Cancel | None) -> bytes:
    while True:
        check_cancel(cancel)
        try:
            return process.communicate(timeout=_POLL_SECONDS)[0]
        except subprocess.TimeoutExpired:
            continue


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
