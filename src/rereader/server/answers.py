"""Answers in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from rereader.server.plain import dumped


class Json(Response):
    """An answer in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return dumped(content).encode("ascii")


class JsonRows(Json):
    """A long list in JSON, made row by row: as values all at once it would take ten times the memory of its text."""

    def render(self, content: Iterable[Any]) -> bytes:
        """The bytes of the body."""
        return f"[{','.join(map(dumped, content))}]".encode("ascii")
