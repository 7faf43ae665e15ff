"""The application: the routes behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from rereader import __version__
from rereader.server.backend import Backend
from rereader.server.errors import Failure, handle_errors
from rereader.server.guard import Guard, Rules
from rereader.server.limits import Limits
from rereader.server.routes import about, documents, jobs, pages, runs

_LARGE = 4_096
"""Bytes from which on an answer is compressed."""

_FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": Failure, "description": "The key is missing or wrong."},
    404: {"model": Failure, "description": "What is named is not there."},
    409: {"model": Failure, "description": "What is named is being worked on."},
    422: {"model": Failure, "description": "The request cannot be used."},
}


def make_app(backend: Backend, rules: Rules) -> Guard:
    """The server's application. It owns ``backend`` while it runs: it starts the work and closes all in the end.

    Args:
        backend: What it serves.
        rules: Who may ask, and how.
    """

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        backend.desk.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(backend.close)

    app = FastAPI(
        title="Rereader",
        version=__version__,
        summary="Documents, runs and what a run knew at each step.",
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.backend = backend
    for module in (about, documents, runs, jobs):
        app.include_router(module.router, responses=_FAILURES)
    app.include_router(pages.router)
    app.mount("/static", pages.PageFiles(directory=pages.STATIC, check_dir=False), name="static")
    handle_errors(app, backend.folders, pages.nowhere)
    app.add_middleware(GZipMiddleware, minimum_size=_LARGE, compresslevel=5)
    return Guard(Limits(app), rules)
