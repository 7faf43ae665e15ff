"""The page: one file for all its addresses, and what it is made of."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from rereader.schema import NotThere

router = APIRouter()
STATIC = Path(__file__).resolve().parents[1] / "static"
_INDEX = STATIC / "index.html"
_NO_VIEWS = ("/api/", "/static/", "/openapi.json")
_ADDRESSES = (
    "/",
    "/documents",
    "/documents/{document}",
    "/runs",
    "/runs/{run}",
    "/runs/{run}/{step}",
    "/compare/{one}/{other}",
    "/ask",
    "/api",
)


class PageFiles(StaticFiles):
    """Files that a browser keeps, and asks about each time whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or that it is still the same."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def index() -> Response:
    """The page; its script reads the address."""
    if not _INDEX.is_file():
        raise NotThere("The page is not part of this installation.", "Install Rereader anew.")
    return _page(200)


def nowhere(request: Request) -> Response | None:
    """The page, which says that no view has this address; ``None`` if no view was asked for."""
    asked = request.method in ("GET", "HEAD") and not request.url.path.startswith(_NO_VIEWS)
    return _page(404) if asked and _INDEX.is_file() else None


def _page(status: int) -> Response:
    return FileResponse(_INDEX, status, media_type="text/html; charset=utf-8")


for _address in _ADDRESSES:
    router.add_api_route(_address, index, methods=["GET", "HEAD"], include_in_schema=False)
