"""Runs, their steps and the model calls of each step: the only source for show, diff and blame."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Row
from typing import Any

from rereader.memory.database import Database
from rereader.memory.shown import run_html, step_html
from rereader.schema import Answer, Budget, InputError, NotThere, Usage


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """One question put to some documents through one graph, and how far it has come.

    ``parent`` is the run that a follow-up follows, or that a fork goes on from after its step ``forked_at``.
    ``failure`` says why the run failed, if it did.
    """

    id: str
    question: str
    graph: str
    status: str
    created_at: float
    updated_at: float
    usage: Usage
    document_ids: tuple[str, ...]
    parent: str | None = None
    failure: str | None = None
    forked_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class ListedRun(RunHead):
    """A run in a list: of its answer there is the text alone, ``None`` before there is one."""

    said: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run(RunHead):
    """A run with all that it was asked with, and its answer."""

    settings: dict[str, Any]
    models: dict[str, str]
    budget: Budget
    answer: Answer | None

    def _repr_html_(self) -> str:
        return run_html(self)


@dataclass(frozen=True)
class Call:
    """One model call of a step; ``slots`` names what filled the template, ``prompt_sha256`` proves a re-rendering."""

    role: str
    method: str
    template: str
    slots: dict[str, Any]
    prompt_sha256: str
    reply: str
    prompt_tokens: int
    completion_tokens: int
    cached: bool


@dataclass(frozen=True)
class Step:
    """One node's work: what it decided (``detail``), what it cost, the working memory's version after it."""

    number: int
    node: str
    started_at: float
    seconds: float
    memory_version: int
    detail: dict[str, Any]
    usage: Usage
    calls: tuple[Call, ...] = ()

    def _repr_html_(self) -> str:
        return step_html(self)


class RunStore:
    """Creates, updates and reads runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        run_id: str,
        *,
        question: str,
        graph: str,
        settings: Mapping[str, Any],
        models: Mapping[str, str],
        budget: Budget,
        document_ids: Sequence[str],
        parent: str | None = None,
        forked_at: int | None = None,
        status: str = "running",
    ) -> Run:
        """Register a run, as one that is running if nothing else is said."""
        now = time.time()
        row = (
            run_id,
            parent,
            question,
            graph,
            json.dumps(dict(settings), sort_keys=True),
            json.dumps(dict(models)),
            budget.model_dump_json(),
            status,
            now,
            now,
            Usage().model_dump_json(),
            forked_at,
        )
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO runs (id, parent, question, graph, settings, models, budget, status, created_at, "
                "updated_at, usage, forked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            self._database.execute_many(
                "INSERT INTO run_documents VALUES (?, ?, ?)",
                [(run_id, i, document) for i, document in enumerate(document_ids)],
            )
        return self.get(run_id)

    def update(self, run_id: str, *, status: str, answer: Answer | None = None, failure: str | None = None) -> None:
        """Note how far a run has come; a failure is forgotten by the next update."""
        self._database.execute(
            "UPDATE runs SET status = ?, answer = COALESCE(?, answer), failure = ?, updated_at = ? WHERE id = ?",
            (status, answer.model_dump_json() if answer else None, failure, time.time(), run_id),
        )

    def add_step(self, run_id: str, step: Step, usage: Usage, answer: Answer | None = None) -> None:
        """Store a finished step with its calls, the run's usage up to it, and its answer if that is what it made.

        All of it or nothing: a run that is answered has its last step, too.
        """
        with self._database.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    step.number,
                    step.node,
                    step.started_at,
                    step.seconds,
                    step.memory_version,
                    json.dumps(step.detail),
                    step.usage.model_dump_json(),
                ),
            )
            self._database.execute("DELETE FROM step_calls WHERE run_id = ? AND step = ?", (run_id, step.number))
            self._database.execute_many(
                "INSERT INTO step_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        run_id,
                        step.number,
                        i,
                        call.role,
                        call.method,
                        call.template,
                        json.dumps(call.slots),
                        call.prompt_sha256,
                        call.reply,
                        call.prompt_tokens,
                        call.completion_tokens,
                        int(call.cached),
                    )
                    for i, call in enumerate(step.calls)
                ],
            )
            self._database.execute(
                "UPDATE runs SET usage = ?, updated_at = ? WHERE id = ?",
                (usage.model_dump_json(), time.time(), run_id),
            )
            if answer:
                self.update(run_id, status=answer.status, answer=answer)
                self._database.execute("DELETE FROM step_parts WHERE run_id = ?", (run_id,))

    def get(self, run_id: str) -> Run:
        """The run with this id or unique prefix of an id.

        Raises:
            InputError: If there is none, or several.
        """
        rows = self._database.rows(
            "SELECT * FROM runs WHERE id = ?1 OR (length(?1) >= 4 AND substr(id, 1, length(?1)) = ?1)",
            (run_id,),
        )
        if len(rows) != 1:
            found, kind = ("no run", NotThere) if not rows else (f"{len(rows)} runs", InputError)
            raise kind(f"There is {found} {run_id!r} in the workspace.", "See 'rereader runs list'.")
        return self._run(rows[0])

    def all(self) -> list[Run]:
        """Every run, newest first."""
        return [self._run(row) for row in self._database.rows("SELECT * FROM runs ORDER BY created_at DESC")]

    def listed(self) -> list[ListedRun]:
        """Every run, newest first, without what only a look at one of them needs; much faster than :meth:`all`."""
        runs = self._database.rows(
            "SELECT id, question, graph, status, created_at, updated_at, usage, parent, failure, forked_at, "
            "json_extract(answer, '$.answer') AS said FROM runs ORDER BY created_at DESC"
        )
        documents: dict[str, list[str]] = {}
        for row in self._database.rows("SELECT run_id, document_id FROM run_documents ORDER BY run_id, position"):
            documents.setdefault(row["run_id"], []).append(row["document_id"])
        return [
            ListedRun(
                **{
                    **dict(row),
                    "usage": Usage.model_validate_json(row["usage"]),
                    "document_ids": tuple(documents.get(row["id"], ())),
                }
            )
            for row in runs
        ]

    def counts_by_document(self) -> dict[str, int]:
        """How many runs are about each document, by its id; those with none are left out."""
        rows = self._database.rows("SELECT document_id, COUNT(*) AS runs FROM run_documents GROUP BY document_id")
        return {row["document_id"]: row["runs"] for row in rows}

    def cut_by(self, run: Run) -> dict[str, str]:
        """The models by whose tokens a run's documents were cut: a fork takes over how its parent cut them."""
        while run.parent is not None and run.forked_at:
            run = self.get(run.parent)
        return run.models

    def steps(self, run_id: str) -> list[Step]:
        """All steps of a run in order, with their calls."""
        calls: dict[int, list[Call]] = {}
        for row in self._database.rows("SELECT * FROM step_calls WHERE run_id = ? ORDER BY step, ordinal", (run_id,)):
            calls.setdefault(row["step"], []).append(_call(row))
        return [replace(step, calls=tuple(calls.get(step.number, ()))) for step in self.steps_alone(run_id)]

    def steps_alone(self, run_id: str, after: int = 0) -> list[Step]:
        """Steps of a run past number ``after`` in order, without their calls, which take most of the room."""
        rows = self._database.rows("SELECT * FROM steps WHERE run_id = ? AND step > ? ORDER BY step", (run_id, after))
        return [_step(row, []) for row in rows]

    def slots(self, run_id: str) -> list[tuple[int, str, str, dict[str, Any]]]:
        """What filled the prompts of a run, call by call: the step, the role, the method, the slots."""
        rows = self._database.rows(
            "SELECT step, role, method, slots FROM step_calls WHERE run_id = ? ORDER BY step, ordinal", (run_id,)
        )
        return [(row["step"], row["role"], row["method"], json.loads(row["slots"])) for row in rows]

    def step(self, run_id: str, number: int) -> Step:
        """One step of a run with its calls; no other step is read.

        Raises:
            InputError: If the run has no such step.
        """
        row = self._database.row("SELECT * FROM steps WHERE run_id = ? AND step = ?", (run_id, number))
        if row is None:
            raise NotThere(f"Run {run_id} has no step {number}.", self.range_of_steps(run_id))
        calls = self._database.rows(
            "SELECT * FROM step_calls WHERE run_id = ? AND step = ? ORDER BY ordinal", (run_id, number)
        )
        return _step(row, [_call(call) for call in calls])

    def step_numbers(self, run_id: str) -> list[int]:
        """Numbers of a run's finished steps, in order."""
        rows = self._database.rows("SELECT step FROM steps WHERE run_id = ? ORDER BY step", (run_id,))
        return [row["step"] for row in rows]

    def range_of_steps(self, run_id: str) -> str:
        """A sentence that says which steps a run has."""
        numbers = self.step_numbers(run_id)
        if not numbers:
            return "None of its steps has ended."
        return f"Its steps are {numbers[0]} to {numbers[-1]}." if len(numbers) > 1 else f"Its step is {numbers[0]}."

    def memory_version(self, run_id: str, number: int) -> int:
        """The working memory's version after a step; a number between two steps stands for the one before it.

        Version 0, which is empty, is what stands before the first step.
        """
        row = self._database.row(
            "SELECT memory_version FROM steps WHERE run_id = ? AND step <= ? ORDER BY step DESC LIMIT 1",
            (run_id, number),
        )
        return row["memory_version"] if row else 0

    def cut(self, run_id: str) -> str | None:
        """Which chunking a run's chunk numbers count in, as the step that cut its documents wrote it down."""
        row = self._database.row(
            "SELECT json_extract(detail, '$.cut') AS cut FROM steps "
            "WHERE run_id = ? AND json_extract(detail, '$.cut') IS NOT NULL ORDER BY step LIMIT 1",
            (run_id,),
        )
        return str(row["cut"]) if row else None

    def recent_details(self, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Node and detail of the newest steps of all runs, newest first; a fork's copies of steps are left out."""
        rows = self._database.rows(
            "SELECT node, detail FROM steps JOIN runs ON runs.id = run_id WHERE step > COALESCE(forked_at, 0) "
            "ORDER BY started_at DESC LIMIT ?",
            (limit,),
        )
        return [(row["node"], json.loads(row["detail"])) for row in rows]

    def asked_before(
        self,
        question: str,
        graph: str,
        settings: Mapping[str, Any],
        models: Mapping[str, str],
        documents: Sequence[str],
    ) -> bool:
        """Whether a run with the same question, graph, settings, models and documents came to its end.

        A fork does not count: it may have begun with other settings.
        """
        rows = self._database.rows(
            "SELECT id FROM runs WHERE question = ? AND graph = ? AND settings = ? AND models = ? "
            "AND answer IS NOT NULL AND forked_at IS NULL",
            (question, graph, json.dumps(dict(settings), sort_keys=True), json.dumps(dict(models))),
        )
        return any(self.get(row["id"]).document_ids == tuple(documents) for row in rows)

    def _run(self, row: Row) -> Run:
        documents = self._database.rows(
            "SELECT document_id FROM run_documents WHERE run_id = ? ORDER BY position", (row["id"],)
        )
        return Run(
            id=row["id"],
            question=row["question"],
            graph=row["graph"],
            settings=json.loads(row["settings"]),
            models=json.loads(row["models"]),
            budget=Budget.model_validate_json(row["budget"]),
            status=row["status"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            usage=Usage.model_validate_json(row["usage"]),
            document_ids=tuple(document["document_id"] for document in documents),
            answer=Answer.model_validate_json(row["answer"]) if row["answer"] else None,
            parent=row["parent"],
            failure=row["failure"],
            forked_at=row["forked_at"],
        )


def _call(row: Row) -> Call:
    return Call(
        role=row["role"],
        method=row["method"],
        template=row["template"],
        slots=json.loads(row["slots"]),
        prompt_sha256=row["prompt_sha256"],
        reply=row["reply"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cached=bool(row["cached"]),
    )


def _step(row: Row, calls: Sequence[Call]) -> Step:
    return Step(
        number=row["step"],
        node=row["node"],
        started_at=row["started_at"],
        seconds=row["seconds"],
        memory_version=row["memory_version"],
        detail=json.loads(row["detail"]),
        usage=Usage.model_validate_json(row["usage"]),
        calls=tuple(calls),
    )
