"""Answers in JSON."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rereader.server.plain import dumped


class Json(Response):
    """An answer in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return dumped(content).encode("ascii")
