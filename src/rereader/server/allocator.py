"""Main memory of a server that many read from."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
_POOLS = 2


def share_pools() -> bool:
    """Let all threads take memory from few pools; returns whether the C library can be told so (glibc can).

    Otherwise up to eight pools for each core each keep what their largest answer took, and a server that many read
    from grows for as long as its list of runs does. To be called before there are threads.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _POOLS))
    except (AttributeError, OSError, TypeError):  # no mallopt; TypeError: Windows names no library
        return False
