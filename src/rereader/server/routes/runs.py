"""Runs: listed, outlined, step by step, traced, compared. All is read from the stores; no model is called."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from rereader.runs.blame import Blamed, blame, course
from rereader.runs.differences import RunDiff, run_diff
from rereader.runs.edits import memory_fields
from rereader.runs.fates import Fates, fates
from rereader.runs.forking import memory_at
from rereader.runs.outline import Outline, outline
from rereader.runs.passages import passage
from rereader.runs.places import place_of
from rereader.runs.timeline import moment
from rereader.schema import InputError
from rereader.server.answers import Json, JsonRows
from rereader.server.asked import Asked, ForkAsked, StepNumber
from rereader.server.backend import Served
from rereader.server.fields import diff_fields, heat_rounds, listed_runs, record_fields, step_detail, whole_run
from rereader.server.jobs import Task
from rereader.server.offline import offline_page
from rereader.server.told import (
    Accepted,
    CourseTold,
    HeatTold,
    ListedRun,
    MemoryTold,
    PassageTold,
    RecordTold,
    RunTold,
    StepTold,
)
from rereader.server.work import ask_task, fork_task, resume_task

router = APIRouter(prefix="/api/runs", tags=["runs"])
MOST_RECORDS = 200
"""Records that one request gets."""


@router.get("", response_model=list[ListedRun])
def list_runs(backend: Served) -> Response:
    """Every run, forks and follow-ups below the run that they are of."""
    with backend.listing:
        return JsonRows(listed_runs(backend.library, backend.folders))


@router.post("", status_code=202, response_model=Accepted)
def ask(asked: Asked, backend: Served) -> Response:
    """Put a question into the queue."""
    return _accepted(backend, ask_task(backend, asked))


@router.post("/{run_id}/forks", status_code=202, response_model=Accepted)
def fork(run_id: str, asked: ForkAsked, backend: Served) -> Response:
    """Go on from a step of a run as a new run, with another memory, question, setting or model."""
    return _accepted(backend, fork_task(backend, run_id, asked))


@router.post("/{run_id}/resume", status_code=202, response_model=Accepted)
def resume(run_id: str, backend: Served) -> Response:
    """Go on with a run that was stopped, killed or failed."""
    return _accepted(backend, resume_task(backend, run_id))


@router.get("/{run_id}", response_model=RunTold)
def get_run(run_id: str, backend: Served) -> Response:
    """One run with its answer, its documents, and the job that works on it."""
    run = backend.run(run_id)
    return Json(whole_run(backend.library, run, backend.desk.job_of(run.id), backend.folders))


@router.get("/{run_id}/outline", response_model=Outline)
def get_outline(run_id: str, backend: Served, after: StepNumber = 0) -> Response:
    """Steps past number ``after`` in figures, and each change of the working memory since then."""
    return Json(outline(backend.library, backend.run(run_id), after))


@router.get("/{run_id}/records", response_model=dict[str, RecordTold])
def get_records(run_id: str, backend: Served, ids: Annotated[str, Query(max_length=10_000)]) -> Response:
    """Records by id, at most 200, named with commas between them; those that are not there are left out."""
    backend.run(run_id)
    names = list(dict.fromkeys(name for name in ids.split(",") if name))
    if len(names) > MOST_RECORDS:
        raise InputError(f"{len(names)} records are asked for at once.", f"Ask for {MOST_RECORDS} at most.")
    found = backend.library.records.find(names)
    return Json({identity: record_fields(record, backend.folders) for identity, record in found.items()})


@router.get("/{run_id}/steps/{number}", response_model=StepTold)
def get_step(run_id: str, number: StepNumber, backend: Served) -> Response:
    """One step: memory before and after, decisions, evidence, prompts and replies."""
    run = backend.run(run_id)
    return Json(step_detail(moment(backend.library, run, number, [backend.config.graphs_dir]), backend.folders))


@router.get("/{run_id}/chunks", response_model=Fates)
def get_chunks(run_id: str, backend: Served) -> Response:
    """What became of every chunk of the run's documents, by step."""
    return Json(fates(backend.library, backend.run(run_id)))


@router.get("/{run_id}/blame", response_model=list[Blamed])
def get_blame(run_id: str, backend: Served) -> Response:
    """What each claim of the answer rests on."""
    return Json(blame(backend.library, backend.run(run_id)))


@router.get("/{run_id}/course", response_model=CourseTold)
def get_course(run_id: str, backend: Served, fact: Annotated[str, Query(max_length=10_000)]) -> Response:
    """When a fact was known first, and which steps lost it."""
    return Json(course(backend.library, backend.run(run_id), fact).as_json())


@router.get("/{run_id}/passage", response_model=PassageTold)
def get_passage(run_id: str, backend: Served, at: Annotated[str, Query(max_length=1_000)]) -> Response:
    """What became of the characters ``DOCUMENT:START-END``: prompts, gates, records, words kept and lost, claims."""
    run = backend.run(run_id)
    documents = [backend.library.documents.get(identity) for identity in run.document_ids]
    return Json(passage(backend.library, run, place_of(documents, at)).as_json())


@router.get("/{run_id}/heat", response_model=HeatTold)
def get_heat(run_id: str, backend: Served) -> Response:
    """What each round of attention looked at; no round where the graph does without."""
    return Json(heat_rounds(backend.library.heats(backend.run(run_id).id)))


@router.get("/{run_id}/diff/{other}", response_model=RunDiff)
def get_diff(run_id: str, other: str, backend: Served) -> Response:
    """What tells two runs apart, and the first step at which they part."""
    found = run_diff(backend.library, backend.run(run_id), backend.run(other))
    return Json(diff_fields(found, backend.folders))


@router.get("/{run_id}/memory", response_model=MemoryTold)
def get_memory(run_id: str, backend: Served, step: StepNumber) -> Response:
    """The working memory after a step, as a fork's edits take it."""
    return Json({"memory": memory_fields(memory_at(backend.library, run_id, step))})


@router.get("/{run_id}/page", response_class=Response, responses={200: {"content": {"text/html": {}}}})
def get_page(run_id: str, backend: Served) -> Response:
    """The run with all its steps as one file that needs no server."""
    run = backend.run(run_id)
    page = offline_page(backend.library, run, [backend.config.graphs_dir], backend.folders)
    name = f'attachment; filename="rereader-{run.id}.html"'
    return Response(page, media_type="text/html", headers={"Content-Disposition": name})


def _accepted(backend: Served, task: Task) -> Response:
    return Json({"job": backend.desk.submit(task)}, status_code=202)
