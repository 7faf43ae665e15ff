"""Models that are loaded while somebody waits: what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rereader.models.roles import Models
from rereader.schema import Event, Progress


@contextmanager
def loads_told(models: Models, listen: Callable[[Event], None], run_id: str = "") -> Iterator[None]:
    """Tell a listener of each model that is loaded meanwhile, as progress of one step: when it begins, and its end."""

    def tell(name: str, there: bool) -> None:
        listen(Event("progress", run_id, progress=Progress(f"loading {name}", int(there), 1)))

    before, models.heard = models.heard, tell
    try:
        yield
    finally:
        models.heard = before
