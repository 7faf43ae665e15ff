"""What the API tells of runs, steps and rounds of attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rereader.memory.heat import Heat
from rereader.memory.library import Library
from rereader.memory.runs import ListedRun, Run
from rereader.runs.differences import RunDiff
from rereader.runs.digests import safe_run
from rereader.runs.families import families
from rereader.runs.fields import run_fields, seen
from rereader.runs.timeline import Asked, Moment
from rereader.schema import Record
from rereader.server.plain import plain
from rereader.tools.pathless import pathless, pathless_values


def listed_runs(library: Library, folders: Sequence[Path] = ()) -> Iterator[dict[str, Any]]:
    """Every run in a few figures, forks and follow-ups below the run that they are of.

    Args:
        library: Holds the runs.
        folders: See :func:`rereader.tools.pathless.pathless`; so below.
    """
    found = families([seen(library, run) for run in library.runs.listed()])
    return ({**_listed(one.run, folders), "depth": one.depth, "descent": one.descent} for one in found)


def whole_run(library: Library, run: Run, job: str | None, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """A run with its answer, and what a page needs to show it."""
    documents = [library.documents.get(identity) for identity in run.document_ids]
    return {
        "run": run_fields(safe_run(run, folders)),
        "documents": [{"id": one.id, "title": one.title, "length": one.length} for one in documents],
        "at_work": run.status == "running",
        "job": job,
        "steps": len(library.runs.step_numbers(run.id)),
    }


def diff_fields(diff: RunDiff, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """What tells two runs apart. They are compared as they are: two paths may end in one name."""
    told = replace(diff, one=safe_run(diff.one, folders), other=safe_run(diff.other, folders))
    names = ("settings", "models")
    return {**plain(told), **{name: pathless_values(plain(getattr(diff, name)), folders) for name in names}}


def step_detail(moment: Moment, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """A step with all around it; of its calls without the references that their prompts were put together from."""
    fields = _safe_records({name: plain(getattr(moment, name)) for name in ("memory", "evidence")}, folders)
    detail = pathless_values(plain(moment.detail), folders)
    return {**plain(moment), **fields, "detail": detail, "calls": [_call_fields(asked) for asked in moment.calls]}


def record_fields(record: Record, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """A record, and whose work it is or stands in the place of."""
    return {**plain(record), "model": pathless(record.model, folders), "author": record.author}


def heat_rounds(heats: list[Heat]) -> dict[str, Any]:
    """Rounds of attention; ``[start, end, score]`` of a token is in characters from the sentence's start."""
    return {"rounds": [{"round": heat.round, "windows": heat.windows, "sentences": _hot(heat)} for heat in heats]}


def _safe_records(value: Any, folders: Sequence[Path]) -> Any:
    """Values whose records, at any depth, name the model that wrote them without a path."""
    if isinstance(value, list):
        return [_safe_records(held, folders) for held in value]
    if not isinstance(value, dict):
        return value
    safe = {name: _safe_records(held, folders) for name, held in value.items()}
    return {**safe, "model": pathless(value["model"], folders)} if "model" in value else safe


def _listed(run: ListedRun, folders: Sequence[Path]) -> dict[str, Any]:
    fields = plain(run)
    answer = fields.pop("said")
    return {**fields, "failure": run.failure and pathless(run.failure, folders), "answer": answer}


def _call_fields(asked: Asked) -> dict[str, Any]:
    fields = plain(asked.call)
    del fields["slots"]
    return {**fields, "prompt": plain(asked.prompt)}


def _hot(heat: Heat) -> list[dict[str, Any]]:
    return [
        {**plain(hot.span), "score": hot.score, "taken": hot.taken, "tokens": plain(hot.tokens)}
        for hot in heat.sentences
    ]
