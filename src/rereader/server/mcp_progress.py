"""Events of a run on their way to a client of the Model Context Protocol, as progress notifications."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import anyio
from mcp.server.session import ServerSession

from rereader.schema import Event
from rereader.tools.pathless import pathless

_SECONDS = 0.1
"""Between two looks for what is to be told."""


class Telling:
    """Passes events on, a few a second; of several reports of progress in a row only the last.

    The number that goes with a message counts the messages: it has to grow, and how many steps a run will take is not
    known.

    Args:
        client: Whom to tell.
        folders: Folders of this machine that no message may name.
    """

    def __init__(self, client: ServerSession, folders: Sequence[Path] = ()) -> None:
        self._client = client
        self._folders = folders
        self._waiting: deque[Event] = deque()
        self._told = 0

    def listen(self, event: Event) -> None:
        """Take note of an event, in whatever thread."""
        self._waiting.append(event)

    async def keep_on(self) -> None:
        """Pass events on until cancelled."""
        while True:
            await self.flush()
            await anyio.sleep(_SECONDS)

    async def flush(self) -> None:
        """Pass on what waits."""
        while self._waiting:
            event = self._waiting.popleft()
            if event.kind == "progress" and self._waiting and self._waiting[0].kind == "progress":
                continue
            self._told += 1
            await self._client.report_progress(self._told, message=pathless(_said(event), self._folders))


def _said(event: Event) -> str:
    run = f"run {event.run_id}, " if event.run_id else ""
    if event.kind == "step":
        return f"{run}step {event.step}: {event.node}"
    if event.progress:
        several = event.progress.total > 1  # of one thing it is either or
        count = f": {event.progress.done:,} of {event.progress.total:,}" if several else ""
        return f"{run}{event.progress.stage}{count}"
    return f"note: {event.text}"
