"""How many cores have nothing to do."""

from __future__ import annotations

import os

_LOOK_SECONDS = 0.2


def idle_cores() -> int:
    """Physical cores less those that others keep busy at this moment, at least 1; takes a fifth of a second.

    Threads of llama.cpp wait for each other without sleeping: with one more than there are free cores it writes ten
    times slower than with one less.
    """
    import psutil

    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = min(psutil.cpu_count(logical=False) or logical, logical)
    busy = psutil.cpu_percent(_LOOK_SECONDS) / 100 * (psutil.cpu_count() or 1)
    return max(1, physical - round(busy))
