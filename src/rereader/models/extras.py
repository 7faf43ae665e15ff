"""Finds out early, and in one line, that the packages for local models are not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from rereader.schema.errors import MissingExtra


def require_local() -> None:
    """Make sure that torch and transformers can be imported.

    Raises:
        MissingExtra: If one of them is not installed.
    """
    require(("torch", "transformers"), "Local models", "local")


def require(packages: Sequence[str], feature: str, extra: str) -> None:
    """Make sure that packages can be imported.

    Args:
        packages: Their names.
        feature: What needs them.
        extra: What brings them along.

    Raises:
        MissingExtra: If one of them is not installed.
    """
    for package in packages:
        try:
            found = importlib.util.find_spec(package) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise MissingExtra(feature, extra)
