"""Runs and their steps as plain values, for JSON; and whether a run is what its status says."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, TypeVar

from rereader.memory.library import Library
from rereader.memory.runs import Run, RunHead, Step

Kind = TypeVar("Kind", bound=RunHead)


def seen(library: Library, run: Kind) -> Kind:
    """A run with its true status: one that says it is running and that no process runs was killed."""
    if run.status == "running" and not library.is_at_work(run.id):
        return replace(run, status="interrupted")
    return run


def run_fields(run: Run) -> dict[str, Any]:
    """A run as JSON."""
    fields = asdict(run)
    for name in ("budget", "usage", "answer"):
        value = getattr(run, name)
        fields[name] = value.model_dump(mode="json") if value else None
    return fields


def step_fields(step: Step) -> dict[str, Any]:
    """A step as JSON."""
    return {**asdict(step), "usage": step.usage.model_dump(mode="json")}
