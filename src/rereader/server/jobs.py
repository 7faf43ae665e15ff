"""Work in a queue: one thread does it in order with a session of its own, and tells of it as it goes."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rereader.models.base import Cancel
from rereader.runs.session import Listen, Session
from rereader.schema import Event, Interrupted, NotThere, RereaderError
from rereader.schema import Progress as Report
from rereader.server.errors import Refused, failure_fields
from rereader.server.events import Hub, Stream, event_text
from rereader.server.faults import log_fault
from rereader.server.sessions import OneSession
from rereader.server.wanted import OpenSession, Wanted
from rereader.tools.pathless import pathless

_LOG = logging.getLogger(__name__)
Kind = Literal["ask", "fork", "resume", "add"]
State = Literal["waiting", "working", "done", "failed", "stopped"]
MOST_WAITING = 32
"""Jobs that may wait."""
_KEPT = 200
"""Jobs that are told of, those that ended included."""
_MOST_WARNINGS = 100
_APART = 0.1
"""Seconds between two events of progress of one stage; its first and its last one are told in any case."""
_LIVE = ("waiting", "working")


def _nothing() -> None:
    """Let go of nothing."""


@dataclass(frozen=True)
class Made:
    """What a job came to: a run, or a document."""

    run: str | None = None
    document: str | None = None


@dataclass(frozen=True)
class Task:
    """What is to be done.

    Args:
        kind: What it is.
        wanted: The models that it needs.
        do: Does it; called in the thread that works.
        question: The question, if there is one.
        graph: The graph.
        run: The run that is gone on with, if it is one.
        release: Lets go of what it holds; called once, however it ends.
    """

    kind: Kind
    wanted: Wanted
    do: Callable[[Session, Listen, Cancel], Made]
    question: str = ""
    graph: str = ""
    run: str | None = None
    release: Callable[[], None] = _nothing


@dataclass
class Job:
    """A task and how it stands."""

    id: str
    task: Task
    created_at: float
    run: str | None
    document: str | None = None
    state: State = "waiting"
    progress: Report | None = None
    warnings: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    told_at: float = 0.0


class Desk:
    """The queue, the thread that works it off, and what is told of it.

    Args:
        open_session: Opens a session with the models that a task needs.
        folders: Folders of the machine, which nobody is told of.
    """

    def __init__(self, open_session: OpenSession, folders: Sequence[Path] = ()) -> None:
        self.hub = Hub()
        self._folders = folders
        self._sessions = OneSession(open_session)
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition(threading.RLock())
        self._closing = False
        self._cut_short: list[str] = []
        # A model that does not stop must not keep the process; what it did so far can be resumed.
        self._thread = threading.Thread(target=self._work, name="rereader-work", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, task: Task) -> str:
        """Put a task into the queue; returns its job's id.

        Raises:
            Refused: If too many wait, or the server is stopping.
        """
        with self._changed:
            if self._closing:
                raise Refused(503, "The server is stopping.", "Start it again.")
            if len(self._waiting()) >= MOST_WAITING:
                raise Refused(429, f"{MOST_WAITING} jobs are waiting already.", "Wait for one of them to end.")
            job = Job(secrets.token_hex(6), task, time.time(), task.run)
            self._jobs[job.id] = job
            self._forget()
            self._tell(job)
            self._changed.notify_all()
            return job.id

    def all(self) -> list[dict[str, Any]]:
        """Every job as JSON, newest first."""
        with self._changed:
            return [self._fields(job) for job in reversed(self._jobs.values())]

    def get(self, job_id: str) -> dict[str, Any]:
        """One job as JSON.

        Raises:
            NotThere: If there is none, or it ended long ago.
        """
        with self._changed:
            return self._fields(self._job(job_id))

    def job_of(self, run_id: str) -> str | None:
        """The job that works on a run, or will."""
        with self._changed:
            return next((job.id for job in self._jobs.values() if job.run == run_id and job.state in _LIVE), None)

    def stop(self, job_id: str) -> dict[str, Any]:
        """Stop a job: one that waits at once, one that is worked on at its next token; returns it as JSON."""
        with self._changed:
            job = self._job(job_id)
            self._stop(job)
            return self._fields(job)

    def stream(self) -> Stream:
        """A stream of events that begins with every live job.

        Raises:
            Refused: If there are too many.
        """
        with self._changed:  # nothing happens between how things stand and the first event
            live = [job for job in self._jobs.values() if job.state in _LIVE]
            return self.hub.open([event_text("job", self._fields(job)) for job in live])

    def stop_all(self) -> None:
        """Take no more work, and stop what there is."""
        with self._changed:
            if not self._closing:
                self._cut_short = [job.id for job in self._jobs.values() if job.state in _LIVE]
            self._closing = True
            for job in self._jobs.values():
                self._stop(job)
            self._changed.notify_all()
        if not self._thread.is_alive():
            self.hub.close()

    def cut_short(self) -> list[dict[str, Any]]:
        """The jobs that the end of the server stopped, as JSON, in the order in which they were put."""
        with self._changed:
            fields = [self._fields(self._jobs[job_id]) for job_id in self._cut_short]
        return [job for job in fields if job["state"] == "stopped"]

    def close(self, seconds: float = 30.0) -> None:
        """Stop all work and wait for it to end, for so many seconds at most."""
        self.stop_all()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._do(job)
        finally:
            try:
                self._sessions.close()
            finally:
                self.hub.close()

    def _next(self) -> Job | None:
        """The job whose turn it is, once there is one; ``None`` when the server stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting())
            if self._closing:
                return None
            job = self._waiting()[0]
            job.state = "working"
            self._tell(job)
            self._tell_waiting()
            return job

    def _do(self, job: Job) -> None:
        try:
            session = self._sessions.open(job.task.wanted)
            made = job.task.do(session, lambda event: self._heard(job, event), job.cancel)
        except Interrupted:
            self._end(job, "stopped")
        except Exception as error:  # of whatever kind: the next job is not to blame for it
            if not isinstance(error, RereaderError):
                log_fault(_LOG, f"job {job.id}", error)
            self._end(job, "failed", error=failure_fields(error, self._folders))
        else:
            self._end(job, "done", made)

    def _end(self, job: Job, state: State, made: Made | None = None, error: dict[str, str] | None = None) -> None:
        with self._changed:
            job.state, job.error, job.progress = state, error, None
            if made is not None:
                job.run, job.document = made.run, made.document
            _release(job)
            self._tell(job)

    def _stop(self, job: Job) -> None:
        if job.state == "waiting":
            job.state = "stopped"
            _release(job)
            self._tell(job)
            self._tell_waiting()
        elif job.state == "working":
            job.cancel.set()

    def _heard(self, job: Job, event: Event) -> None:
        """Take up what a session tells."""
        with self._changed:
            if job.task.kind != "add" and event.run_id and job.run != event.run_id:
                job.run = event.run_id
                self._tell(job)
            about = {"job": job.id, "run": job.run}
            if event.kind == "step":
                job.progress = None
                self.hub.tell("step", {**about, "step": event.step, "node": event.node})
            elif event.kind == "warning" and len(job.warnings) < _MOST_WARNINGS:
                job.warnings.append(pathless(event.text, self._folders))
                self.hub.tell("warning", {**about, "text": job.warnings[-1]})
            elif event.progress is not None:
                self._progress(job, event.progress, about)

    def _progress(self, job: Job, report: Report, about: dict[str, Any]) -> None:
        same = job.progress is not None and job.progress.stage == report.stage
        job.progress = report
        now = time.monotonic()
        if now - job.told_at >= _APART or not same or report.done >= report.total:
            job.told_at = now
            self.hub.tell("progress", {**about, **_report_fields(report)})

    def _waiting(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state == "waiting"]

    def _tell_waiting(self) -> None:
        for job in self._waiting():
            self._tell(job)

    def _tell(self, job: Job) -> None:
        self.hub.tell("job", self._fields(job))

    def _job(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise NotThere(f"There is no job {job_id!r}.", "Jobs are forgotten some time after they ended.")
        return self._jobs[job_id]

    def _forget(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.state not in _LIVE]
        for job_id in ended[: max(0, len(self._jobs) - _KEPT)]:
            del self._jobs[job_id]

    def _fields(self, job: Job) -> dict[str, Any]:
        waiting = [one.id for one in self._waiting()]
        return {
            "id": job.id,
            "kind": job.task.kind,
            "state": job.state,
            "run": job.run,
            "document": job.document,
            "question": job.task.question,
            "graph": job.task.graph,
            "place": waiting.index(job.id) + 1 if job.id in waiting else 0,
            "created_at": job.created_at,
            "progress": _report_fields(job.progress) if job.progress else None,
            "warnings": list(job.warnings),
            "error": job.error,
        }


def _release(job: Job) -> None:
    """Let go of what a job holds; if that fails the thread still goes on to the next one."""
    try:
        job.task.release()
    except Exception as error:  # of whatever kind
        log_fault(_LOG, f"letting go of what job {job.id} held", error)


def _report_fields(report: Report) -> dict[str, Any]:
    return {
        "stage": report.stage,
        "done": report.done,
        "total": report.total,
        "tokens_per_second": report.tokens_per_second,
        "eta_seconds": report.eta_seconds,
    }
