"""Runs a command line in child processes that can be killed at a chosen moment. POSIX only."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

KILLED = -signal.SIGKILL
_LONGEST = 300.0


@dataclass(frozen=True)
class Moment:
    """When a child is killed; never, if nothing is said.

    Args:
        seconds: So long after it began.
        access: Before its n-th access to a store, see :class:`~rereader.testing.soak.countdown.Countdown`.
    """

    seconds: float | None = None
    access: int = 0

    def __str__(self) -> str:
        return f"access {self.access}" if self.access else f"{self.seconds:.3f} s" if self.seconds else "never"


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (``KILLED`` if it was), output, errors, seconds, accesses to its stores."""

    code: int
    out: str
    err: str
    seconds: float
    accesses: int

    @property
    def killed(self) -> bool:
        """Whether it was killed."""
        return self.code == KILLED


class Children:
    """One child at a time, forked from a process that has imported everything already.

    Args:
        main: The command line as ``module:function``; the function takes the arguments and returns an exit code.
        folder: Where the children's output goes; they work in it.
        environment: Variables of the children, beside those of this process.
        local: Whether they run local models.
        clock: Seed of a clock that jumps back and forth; 0 leaves them the machine's.
    """

    def __init__(
        self,
        main: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        local: bool = False,
        clock: int = 0,
    ) -> None:
        self._main, self._folder, self._local, self._clock = main, folder, local, clock
        self._environment = dict(environment or {})

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "rereader.testing.soak.nursery", self._main]
        command += ["--local"] if self._local else []
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a fork does not take threads along
        self._nursery = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **single}
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nursery.kill()
        self._nursery.communicate()

    def run(self, arguments: Sequence[str], moment: Moment = Moment()) -> Ended:
        """Run a command to its end, or to the moment when it is killed.

        Raises:
            TimeoutError: If it does not end within five minutes.
        """
        count = self._folder / "count"
        count.unlink(missing_ok=True)
        child = self._begin(arguments, moment)
        began = time.monotonic()
        if not self._has_ended(_LONGEST if moment.seconds is None else moment.seconds):
            os.kill(child, signal.SIGKILL)
            if moment.seconds is None:
                raise TimeoutError(f"{' '.join(arguments)} did not end within {_LONGEST:g} s")
        code = self._number()
        return Ended(
            code,
            (self._folder / "out").read_text(),
            (self._folder / "err").read_text(),
            time.monotonic() - began,
            int(count.read_text()) if count.exists() else 0,
        )

    def _begin(self, arguments: Sequence[str], moment: Moment) -> int:
        task: dict[str, Any] = {name: str(self._folder / name) for name in ("out", "err", "count")}
        task |= {"arguments": list(arguments), "environment": self._environment, "folder": str(self._folder)}
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(json.dumps({**task, "last": moment.access, "clock": self._clock}).encode() + b"\n")
        self._nursery.stdin.flush()
        return self._number()

    def _has_ended(self, seconds: float) -> bool:
        assert self._nursery.stdout is not None
        return bool(select.select([self._nursery.stdout], [], [], seconds)[0])

    def _number(self) -> int:
        assert self._nursery.stdout is not None
        return int(self._nursery.stdout.readline())
