"""Rereader answers questions about documents too long to read at once, and shows how it came to know what it says.

Names are loaded on first use, so that ``rereader.models`` runs alone on a bare GPU machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rereader.memory.library import Library
    from rereader.runs.api import ask
    from rereader.schema import Answer, Budget, RereaderError

__version__ = "0.1.0"

_HOMES = {
    "Answer": "rereader.schema",
    "Budget": "rereader.schema",
    "Library": "rereader.memory.library",
    "RereaderError": "rereader.schema",
    "ask": "rereader.runs.api",
}

__all__ = ["Answer", "Budget", "Library", "RereaderError", "ask"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'rereader' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
