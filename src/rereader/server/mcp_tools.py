"""What the tools for other agents take, do and give; :mod:`rereader.server.mcp` offers them over its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rereader.memory.library import Library
from rereader.models.base import Cancel
from rereader.runs import digests
from rereader.runs.api import check
from rereader.runs.finding import MOST_PASSAGES, FoundPassage, find_passages
from rereader.runs.session import Listen, Session
from rereader.schema import Answer, Budget, InputError

_LAST_STEP = 2**31 - 1
"""No run comes that far, and the database knows no number past 2**63."""


@dataclass(frozen=True)
class Desk:
    """What the tools work with.

    Args:
        session: Workspace and models.
        graph: The graph of requests that name none.
        settings: Settings of that graph.
        budget: What no request may pass.
        graph_folders: Where prompt files of somebody's own graphs lie.
        folders: Folders of this machine that no result may name.
        own_library: What only reads is read from, so that it waits for no step of a run to be written; without one the
            session's own.
    """

    session: Session
    graph: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    graph_folders: Sequence[Path] = ()
    folders: Sequence[Path] = ()
    own_library: Library | None = None

    @property
    def library(self) -> Library:
        """The workspace, to read from."""
        return self.own_library or self.session.library


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Nothing(_Arguments):
    """A tool that takes no arguments."""


class Question(_Arguments):
    """Arguments of ``ask``."""

    question: str = Field(description="The question, in whole words.")
    documents: list[str] = Field(
        default_factory=list, max_length=1000, description="Ids or titles; empty for all documents of the workspace."
    )
    graph: str | None = Field(default=None, description="Reading strategy; the server's default if left out.")
    budget: Budget = Field(
        default=Budget(), description="Hard limits; at the limit the answer is the best so far and says so."
    )


class Query(_Arguments):
    """Arguments of ``search``."""

    query: str = Field(description="Words, a sentence or a question.")
    document: str | None = Field(default=None, description="Id or title; all documents if left out.")
    limit: int = Field(default=10, description=f"Most passages, at most {MOST_PASSAGES}.")


class Stretch(_Arguments):
    """Arguments of ``read_span``."""

    document: str = Field(description="Id or title.")
    start: int = Field(description="The first character, from 0.")
    end: int = Field(description="The character after the last one.")


class RunWanted(_Arguments):
    """Arguments of ``show_run``."""

    run_id: str = Field(description="The run's id, or its first characters.")
    step: int | None = Field(
        default=None, ge=0, le=_LAST_STEP, description="Show this step alone, with what it wrote, quoted and was told."
    )
    after: int = Field(default=0, ge=0, le=_LAST_STEP, description="List the steps after this one.")


@dataclass(frozen=True)
class Documents:
    """What ``list_documents`` returns."""

    documents: tuple[digests.DocumentDigest, ...]


@dataclass(frozen=True)
class Passages:
    """What ``search`` returns, the best passage first."""

    passages: tuple[FoundPassage, ...]


@dataclass(frozen=True)
class Shown:
    """What ``show_run`` returns: a run, or one of its steps."""

    run: digests.RunDigest | None = None
    step: digests.StepDigest | None = None


def ask(desk: Desk, wanted: Question, listen: Listen, cancel: Cancel) -> Answer:
    """Answer a question about documents of the workspace."""
    session, graph = desk.session, wanted.graph or desk.graph
    settings = desk.settings if graph == desk.graph else {}
    identities = _identities(desk, wanted.documents)
    check(session, wanted.question, graph, settings)
    answer = session.ask(
        wanted.question,
        identities,
        graph=graph,
        settings=settings,
        budget=within(desk.budget, wanted.budget),
        listen=listen,
        cancel=cancel,
    )
    return digests.safe_answer(answer, desk.folders)


def within(limit: Budget, wanted: Budget) -> Budget:
    """The smaller of two budgets, limit by limit."""
    pairs = {name: (getattr(limit, name), getattr(wanted, name)) for name in Budget.model_fields}
    given = {name: [value for value in pair if value is not None] for name, pair in pairs.items()}
    return Budget(**{name: min(values) for name, values in given.items() if values})


def search(desk: Desk, wanted: Query, listen: Listen, cancel: Cancel) -> Passages:
    """Search documents of the workspace."""
    identities = _identities(desk, [wanted.document] if wanted.document is not None else [])
    found = find_passages(desk.session, wanted.query, identities, limit=wanted.limit, listen=listen, cancel=cancel)
    return Passages(tuple(found))


def _identities(desk: Desk, names: Sequence[str]) -> list[str]:
    """Ids of the documents with these names; of all documents without any name."""
    documents = desk.session.library.documents
    found = [documents.get(name) for name in names] or documents.all()
    if not found:
        raise InputError("The workspace holds no document.", "Add one with: rereader add FILE")
    return [document.id for document in found]


def read_span(desk: Desk, wanted: Stretch, _listen: Listen, _cancel: Cancel) -> digests.Excerpt:
    """Read characters of a document."""
    return digests.excerpt(desk.library, wanted.document, wanted.start, wanted.end)


def show_run(desk: Desk, wanted: RunWanted, _listen: Listen, _cancel: Cancel) -> Shown:
    """Show a run, or one of its steps."""
    library = desk.library
    if wanted.step is None:
        return Shown(run=digests.run_digest(library, wanted.run_id, wanted.after, desk.folders))
    step = digests.step_digest(library, wanted.run_id, wanted.step, desk.graph_folders, desk.folders)
    return Shown(step=step)


def list_documents(desk: Desk, _wanted: Nothing, _listen: Listen, _cancel: Cancel) -> Documents:
    """List the documents of the workspace."""
    return Documents(digests.documents_of(desk.library))
