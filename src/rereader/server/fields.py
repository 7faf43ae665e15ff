"""What the API tells of runs, steps and rounds of attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rereader.memory.heat import Heat
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.families import families
from rereader.runs.fields import run_fields, seen
from rereader.runs.timeline import Asked, Moment
from rereader.schema import Record
from rereader.server.plain import plain
from rereader.tools.pathless import pathless

_LISTED = (
    "id",
    "question",
    "graph",
    "status",
    "created_at",
    "updated_at",
    "usage",
    "document_ids",
    "parent",
    "forked_at",
    "failure",
)


def listed_runs(library: Library) -> list[dict[str, Any]]:
    """Every run in a few figures, forks and follow-ups below the run that they are of."""
    found = families([_told(library, seen(library, run)) for run in library.runs.all()])
    return [{**_listed(one.run), "depth": one.depth, "descent": one.descent} for one in found]


def whole_run(library: Library, run: Run, job: str | None) -> dict[str, Any]:
    """A run with its answer, and what a page needs to show it."""
    documents = [library.documents.get(identity) for identity in run.document_ids]
    return {
        "run": run_fields(_told(library, run)),
        "documents": [{"id": one.id, "title": one.title, "length": one.length} for one in documents],
        "at_work": run.status == "running",
        "job": job,
        "steps": len(library.runs.step_numbers(run.id)),
    }


def step_detail(moment: Moment) -> dict[str, Any]:
    """A step with all around it; of its calls without the references that their prompts were put together from."""
    return {**plain(moment), "calls": [_call_fields(asked) for asked in moment.calls]}


def record_fields(record: Record) -> dict[str, Any]:
    """A record, and whose work it is or stands in the place of."""
    return {**plain(record), "author": record.author}


def heat_rounds(heats: list[Heat]) -> dict[str, Any]:
    """Rounds of attention; ``[start, end, score]`` of a token is in characters from the sentence's start."""
    return {"rounds": [{"round": heat.round, "windows": heat.windows, "sentences": _hot(heat)} for heat in heats]}


def _told(library: Library, run: Run) -> Run:
    """A run whose failure names no path of the machine."""
    return replace(run, failure=run.failure and pathless(run.failure, [library.workspace]))


def _listed(run: Run) -> dict[str, Any]:
    fields = {name: plain(getattr(run, name)) for name in _LISTED}
    return {**fields, "answer": run.answer.answer if run.answer else None}


def _call_fields(asked: Asked) -> dict[str, Any]:
    fields = plain(asked.call)
    del fields["slots"]
    return {**fields, "prompt": plain(asked.prompt)}


def _hot(heat: Heat) -> list[dict[str, Any]]:
    return [
        {**plain(hot.span), "score": hot.score, "taken": hot.taken, "tokens": plain(hot.tokens)}
        for hot in heat.sentences
    ]
