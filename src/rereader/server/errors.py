"""Errors as answers: one line and a hint, never a traceback or a path of the machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rereader.schema import (
    AtWork,
    BudgetSpent,
    Busy,
    InputError,
    Interrupted,
    ModelError,
    NotThere,
    RereaderError,
    StoreError,
)
from rereader.server.answers import Json
from rereader.server.hints import on_page
from rereader.tools.pathless import pathless

_LOG = logging.getLogger(__name__)
_STATUS: tuple[tuple[type[RereaderError], int], ...] = (
    (NotThere, 404),
    (AtWork, 409),
    (InputError, 422),
    (ModelError, 502),
    (BudgetSpent, 422),
    (Interrupted, 409),
    (Busy, 503),
    (StoreError, 500),
)


class Failure(BaseModel):
    """What an answer holds that tells of an error, and how to mend it."""

    error: str
    hint: str


class Refused(RereaderError):
    """A request that is turned away for how it came, not for what it asks."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


def status_of(error: RereaderError) -> int:
    """The HTTP status that tells of an error."""
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def failure_fields(error: BaseException, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Any error as JSON: of ours message and hint (for the page) without paths of the machine, of others their kind.

    Args:
        error: The error.
        folders: Folders of the machine whose names may hold spaces.
    """
    if isinstance(error, RereaderError):
        return {"error": pathless(error.message, folders), "hint": on_page(pathless(error.hint, folders))}
    return {"error": f"Internal error: {type(error).__name__}.", "hint": "The server's terminal says where."}


def refusal(error: RereaderError, folders: Sequence[Path] = ()) -> Json:
    """The answer to a request that cannot be done."""
    return Json(failure_fields(error, folders), status_code=status_of(error))


def handle_errors(app: FastAPI, folders: Sequence[Path], nowhere: Callable[[Request], Response | None]) -> None:
    """Have an application answer with errors of this form.

    Args:
        app: The application.
        folders: See :func:`failure_fields`.
        nowhere: Answers to an address that leads nowhere; ``None`` leaves that to this form.
    """

    async def ours(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RereaderError)
        if isinstance(error, StoreError):
            _LOG.error("%s", error)
        return refusal(error, folders)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        reason = str(first["msg"]).removeprefix("Value error, ")
        said = f"{where}: {reason}" if where else reason
        return Json({"error": f"The request cannot be used: {said}.", "hint": "See the API page."}, status_code=422)

    async def plain_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND and (page := nowhere(request)):
            return page
        phrase = HTTPStatus(error.status_code).phrase
        body = {"error": f"{phrase}.", "hint": "See the API page."}
        return Json(body, status_code=error.status_code, headers=error.headers)

    async def internal(_request: Request, error: Exception) -> Response:  # which the server logs
        return Json(failure_fields(error), status_code=500)

    app.add_exception_handler(RereaderError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain_http)
    app.add_exception_handler(Exception, internal)
