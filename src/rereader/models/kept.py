"""Texts whose keys and values are kept in files, for other processes."""

from __future__ import annotations

from rereader.models import kvfile
from rereader.models.base import TextFile
from rereader.models.engine import Engine
from rereader.models.kvmemory import UnusableBlock
from rereader.schema.events import Cancelled


def take_kept(
    engine: Engine, owner: kvfile.Owner, keep: TextFile, deepest: int | None, cancelled: Cancelled
) -> tuple[int, list[str]]:
    """Make a kept text the engine's last one, or read it and keep it.

    A text that is kept in less than its precision is taken from the file even by who has just read it, so that what
    is found does not depend on who comes first. A file that cannot be used is written anew, and a full disk costs no
    more than the file.

    Args:
        engine: Reads the text if it must.
        owner: The model and the text.
        keep: Where it is kept.
        deepest: The deepest layer that will be asked for; ``None`` for all.
        cancelled: Whether to stop.

    Returns:
        The tokens that were read, and what the user should know.
    """
    ids, exact, told = owner.ids, keep.precision == "exact", []
    if engine.held(ids, (len(ids),), exact=exact, deepest=deepest) and (keep.path.exists() or not exact):
        return 0, []
    count = 0
    for _ in range(2):
        try:
            cache = kvfile.read(keep.path, owner, engine.prefill_model, keep.precision)
        except FileNotFoundError:
            pass
        except UnusableBlock as error:
            told.append(f"The kept text {keep.path.name} cannot be used: {error}. It is read again.")
        else:
            engine.take_up(ids, cache, exact=exact, deepest=deepest)
            break
        count = len(ids) - engine.held(ids, (len(ids),), deepest=deepest)
        context = engine.read(ids, (len(ids),), cancelled, deepest=deepest)
        try:
            kvfile.write(keep.path, context.cache, owner, keep.precision)
        except OSError as error:
            told.append(f"The text cannot be kept in {keep.path.parent}: {error.strerror or error}.")
            engine.take_up(ids, context.cache, exact=exact, deepest=context.deepest)
            break
        if exact:
            break
    return count, told
