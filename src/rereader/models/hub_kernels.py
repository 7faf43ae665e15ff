"""Keeps imports from fetching compiled kernels: nothing comes from a model hub unless the user asked for it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_PACKAGE = "kernels"
_COMPLAINS = "bitsandbytes.backends.cpu.ops"


@contextmanager
def no_hub_kernels() -> Iterator[None]:
    """A place for imports that lead to bitsandbytes, as peft and sentence-transformers do.

    On CPUs with bfloat16 units it fetches a kernel from a hub as it is imported, by the package ``kernels``; where that
    is not installed, it complains of it in the log. Inside, the package counts as not installed, and nothing is said.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None keeps a name from import
    logger = logging.getLogger(_COMPLAINS)
    level, known, before = logger.level, _PACKAGE in modules, modules.get(_PACKAGE)
    modules[_PACKAGE] = None
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        del modules[_PACKAGE]
        if known:
            modules[_PACKAGE] = before
