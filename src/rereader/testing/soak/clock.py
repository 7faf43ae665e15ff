"""A clock that cannot be relied on."""

from __future__ import annotations

import random
import time

_DAY = 86_400.0


def unsettle(seed: int) -> None:
    """Let ``time.time`` jump back and forth by up to a day from call to call; for good, so in a process of its own."""
    rng, now = random.Random(seed), time.time
    time.__dict__["time"] = lambda: now() + rng.uniform(-_DAY, _DAY)
