"""LangGraph's checkpoints of a run: which of them it goes on from, and what SQLite says of their file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rereader.memory.database import translated


def going_on(graph: Any, config: dict[str, Any], last: int) -> tuple[Any, dict[str, Any]]:
    """The checkpoint that a run goes on from, and the configuration that makes LangGraph do so.

    That is the newest, unless it is ahead of the library: after a power failure, or in a workspace that was copied
    while it was written to, the library may lack steps that LangGraph takes for done. Those run again.

    Args:
        graph: The compiled graph.
        config: Names the run.
        last: Number of the last step that the library has; 0 if it has none.

    Returns:
        ``None`` in place of the checkpoint if there is none; then the run begins anew.
    """
    newest = graph.get_state(config)
    if newest.created_at is None:
        return None, config
    if not _is_ahead(newest, last):
        return newest, config
    older = (one for one in graph.get_state_history(config) if one.values.get("step", 0) <= last)
    found = next(older, None)
    # A checkpoint that is named is gone on from without what its nodes had written to LangGraph already.
    return found, {**config, **found.config} if found else config


def _is_ahead(checkpoint: Any, last: int) -> bool:
    """Whether LangGraph knows of a step that the library does not; a node writes to the library first."""
    reached = checkpoint.values.get("step", 0)
    return reached > last or (reached == last and any(task.result for task in checkpoint.tasks))


@contextmanager
def checkpoint_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says of the checkpoint file into our errors, and leave all others alone."""
    try:
        yield
    except sqlite3.Error as error:
        with translated(path):
            raise error
