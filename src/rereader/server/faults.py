"""What is logged of an error that is not ours: its kind and its place, not its text, which may quote a document."""

from __future__ import annotations

import logging
import os
import traceback


def log_fault(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log that something failed inside; with REREADER_DEBUG set, all that Python tells of it.

    Args:
        log: Where to.
        what: What failed.
        error: Why.
    """
    if os.environ.get("REREADER_DEBUG"):
        log.error("%s failed", what, exc_info=error)
        return
    place = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed: %s (REREADER_DEBUG=1 shows its text)\n%s", what, type(error).__name__, place.rstrip())
