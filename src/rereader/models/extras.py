"""Finds out early, and in one line, that the packages for local models are not installed."""

from __future__ import annotations

import importlib.util

from rereader.schema.errors import MissingExtra


def require_local() -> None:
    """Make sure that torch and transformers can be imported.

    Raises:
        MissingExtra: If one of them is not installed.
    """
    for package in ("torch", "transformers"):
        try:
            found = importlib.util.find_spec(package) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise MissingExtra("Local models", "local")
