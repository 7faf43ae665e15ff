"""Jobs: listed, stopped, and told of as they go."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from rereader.server.answers import Json
from rereader.server.backend import Served
from rereader.server.events import EventAnswer
from rereader.server.told import JobTold

router = APIRouter(prefix="/api", tags=["jobs"])


@router.get("/jobs", response_model=list[JobTold])
def list_jobs(backend: Served) -> Response:
    """Every job that the server still knows, newest first."""
    return Json(backend.desk.all())


@router.get("/jobs/{job}", response_model=JobTold)
def get_job(job: str, backend: Served) -> Response:
    """One job."""
    return Json(backend.desk.get(job))


@router.delete("/jobs/{job}", response_model=JobTold)
def stop_job(job: str, backend: Served) -> Response:
    """Stop a job; its run can be resumed."""
    return Json(backend.desk.stop(job))


@router.get("/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def events(backend: Served) -> Response:
    """Server-sent events ``job``, ``step``, ``progress`` and ``warning``, beginning with every live job."""
    return EventAnswer(backend.desk.hub, backend.desk.stream())
