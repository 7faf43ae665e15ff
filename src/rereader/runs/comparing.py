"""One question put to several graphs: the same documents, models and budget, side by side.

Two ways of running them. By default they share the workspace, so that runs are kept and a comparison that was stopped
goes on from the call cache; what an earlier graph has stored (chunks, gists, vectors, replies) then costs a later one
no time. Calls that the cache answers count like any other; memories of a document, written gists among them, are
charged to the run that makes them. Apart, each has a workspace and a process of its own: all figures are the graph's
own, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rereader.models.base import Cancel
from rereader.runs.isolated import Apart, ask_apart
from rereader.runs.rows import Row, ask_system
from rereader.runs.session import Listen, Session, ignore
from rereader.runs.systems import System
from rereader.schema import Budget, Document, InputError, Interrupted
from rereader.schema.wording import counted

SHARED = (
    "The graphs shared one workspace: what an earlier one stored (chunks, gists, vectors, replies) cost a later one no "
    "time. Calls answered from the cache count like any other; written gists and vectors are charged to the graph that "
    "made them. --fresh gives each graph figures of its own."
)
FRESH = "Each graph had an empty workspace and a process of its own. These runs were not kept."
MEMORY_SHARED = "Peak memory is the whole process's up to then, so it only grows from graph to graph."

READING = (
    "Seconds are without the loading of models. Batches of calls run one after the other; the serial depth counts them."
)


@dataclass(frozen=True)
class Comparison:
    """What several graphs made of one question; ``apart`` tells whether each was run on its own."""

    question: str
    documents: tuple[Document, ...]
    models: dict[str, str]
    budget: Budget
    apart: bool
    rows: tuple[Row, ...]

    @property
    def answered(self) -> bool:
        """Whether a graph answered."""
        return any(row.status == "answered" for row in self.rows)

    @property
    def warnings(self) -> list[str]:
        """Warnings that are of no one graph: every run has them."""
        runs = [row.answer.warnings for row in self.rows if row.answer]
        return [text for text in (runs[0] if len(runs) > 1 else []) if all(text in warnings for warnings in runs)]

    def own_warnings(self, row: Row) -> list[str]:
        """Warnings of one graph."""
        return [text for text in (row.answer.warnings if row.answer else []) if text not in self.warnings]

    def notes(self) -> list[str]:
        """How the figures are to be read."""
        found = [FRESH] if self.apart else [SHARED, MEMORY_SHARED]
        found.append(READING)
        for row in self.rows:
            if row.usage.cached_calls:
                stored = f"{row.usage.cached_calls} of {counted(row.usage.calls, 'call')} of {row.system.name}"
                found.append(f"The replies of {stored} were stored before; its seconds are not those of a first run.")
        return found

    def as_json(self) -> dict[str, Any]:
        """JSON-plain; what ``rereader compare --json`` prints."""
        return {
            "schema_version": 1,
            "question": self.question,
            "documents": [document.model_dump(mode="json") for document in self.documents],
            "models": self.models,
            "budget": self.budget.model_dump(mode="json"),
            "fresh": self.apart,
            "warnings": self.warnings,
            "notes": self.notes(),
            "rows": [row.as_json(kept=not self.apart) for row in self.rows],
        }


def compare(
    session: Session,
    question: str,
    document_ids: Sequence[str],
    systems: Sequence[System],
    *,
    budget: Budget | None = None,
    apart: Apart | None = None,
    listen: Listen = ignore,
    cancel: Cancel | None = None,
    begun: Callable[[System], None] = lambda _system: None,
    ended: Callable[[Row], None] = lambda _row: None,
) -> Comparison:
    """Put a question to one graph after the other; one that fails does not stop the rest.

    Args:
        session: The session; its workspace holds the documents.
        question: The question.
        document_ids: The documents.
        systems: The graphs and their settings, in the order in which they are run.
        budget: The limits of each run.
        apart: Run each in a workspace and a process of its own, with these models instead of the session's.
        listen: Is told of the runs' events.
        cancel: Stops at the next token when set.
        begun: Is told of each system before it runs.
        ended: Is given each row as soon as it is there.

    Raises:
        InputError: If there is no document or no system.
        Interrupted: If ``cancel`` was set; what is done is named. Unless they ran apart, the same call again repeats no
            finished model call.
        StoreError: If the workspace cannot be used.
    """
    documents = [session.library.documents.get(identity) for identity in dict.fromkeys(document_ids)]
    if not documents:
        raise InputError("There is no document to ask.", "Name a file, or add one with 'rereader add'.")
    if not systems:
        raise InputError("There is no graph to compare.", "Name some with --graphs.")
    limits = budget or Budget()
    ask_one: Callable[..., Row] = partial(ask_system, session)
    if apart is not None:
        ask_one = partial(ask_apart, apart, session.library.workspace)
    identities = [document.id for document in documents]
    rows: list[Row] = []
    for system in systems:
        begun(system)
        try:
            row = ask_one(system, question, identities, budget=limits, listen=listen, cancel=cancel)
        except Interrupted as error:
            raise _stopped(system, rows, kept=apart is None) from error
        rows.append(row)
        ended(row)
    models = session.models.describe()
    return Comparison(question, tuple(documents), models, limits, apart is not None, tuple(rows))


def _stopped(system: System, rows: Sequence[Row], *, kept: bool) -> Interrupted:
    if not kept:
        done = ", ".join(row.system.name for row in rows) or "none"
        return Interrupted(
            f"Interrupted in {system.name}; done were: {done}.", "Runs of --fresh are not kept; the same begins anew."
        )
    done = ", ".join(f"{row.system.name} (run {row.run.id})" for row in rows if row.run) or "none"
    return Interrupted(
        f"Interrupted in {system.name}; done are: {done}.", "Run the same again: no finished model call is repeated."
    )
