"""From requests to tasks: all is checked that can be before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rereader.graphs.registry import get_graph
from rereader.memory.runs import Run
from rereader.models.base import Cancel
from rereader.models.roles import RoleNames
from rereader.runs.choosing import fork_names, renamed
from rereader.runs.documents import store_texts
from rereader.runs.edits import find_entry
from rereader.runs.forking import find_point, fork_budget
from rereader.runs.places import place_of
from rereader.runs.questions import check_wording
from rereader.runs.session import Listen, Session
from rereader.schema import AtWork, InputError, Interrupted
from rereader.server.asked import Asked, EstimateAsked, ForkAsked
from rereader.server.backend import Backend
from rereader.server.jobs import Made, Task
from rereader.server.uploads import Upload
from rereader.server.wanted import Wanted
from rereader.tools.loaders import load_bytes


def ask_task(backend: Backend, asked: Asked) -> Task:
    """Ask a question.

    Raises:
        InputError: If the question, a document, the graph, a setting or a model cannot be used.
    """
    check_wording(asked.question)
    parent = backend.library.runs.get(asked.parent) if asked.parent else None
    graph = asked.graph or (parent.graph if parent else backend.config.graph)
    settings = _settings(graph, asked.settings, parent)
    documents = _documents(backend, asked.document_ids, parent)
    how: dict[str, Any] = {"graph": graph, "settings": settings, "budget": asked.budget.budget()}
    follows = parent.id if parent else None

    def do(session: Session, listen: Listen, cancel: Cancel) -> Made:
        answer = session.ask(asked.question, documents, **how, parent=follows, listen=listen, cancel=cancel)
        return Made(run=answer.run_id)

    return Task("ask", Wanted(_names(backend, asked.models)), do, asked.question, graph)


def fork_task(backend: Backend, run_id: str, asked: ForkAsked) -> Task:
    """Go on from a step of a run as a new run.

    Raises:
        InputError: If there is no such run or step, or what is changed cannot be.
    """
    library = backend.library
    parent = library.runs.get(run_id)
    if asked.question is not None:
        check_wording(asked.question)
    _settings(parent.graph, asked.settings, parent)
    backend.check_models({role: name for role, name in asked.models.items() if parent.models.get(role) != name})
    names = fork_names(parent, asked.models)
    point = find_point(library, parent.id, asked.step)
    edits = [change.edit() for change in asked.edits]
    held = library.working_memory(parent.id).read(point.version)
    documents = [library.documents.get(identity) for identity in parent.document_ids]
    for edit in edits:
        if edit.kind != "add":
            find_entry(held, edit.record)
        if edit.span:
            place_of(documents, edit.span)
    how: dict[str, Any] = {"edits": edits, "question": asked.question, "settings": asked.settings}
    how["budget"] = fork_budget(parent, asked.budget.budget())

    def do(session: Session, listen: Listen, cancel: Cancel) -> Made:
        return Made(run=session.fork(parent.id, asked.step, **how, listen=listen, cancel=cancel).run_id)

    counted_by = library.runs.cut_by(parent) if asked.step else None
    question = parent.question if asked.question is None else asked.question
    return Task("fork", _stored(names, counted_by), do, question, parent.graph)


def resume_task(backend: Backend, run_id: str) -> Task:
    """Go on with a run.

    Raises:
        AtWork: If it is being worked on already.
    """
    run = backend.run(run_id)
    if run.status == "running":
        raise AtWork(f"Run {run.id} is at work already.", "Wait for it to end, or stop its job.")

    def do(session: Session, listen: Listen, cancel: Cancel) -> Made:
        return Made(run=session.resume(run.id, listen=listen, cancel=cancel).run_id)

    wanted = _stored(RoleNames(**run.models), backend.library.runs.cut_by(run))
    return Task("resume", wanted, do, run.question, run.graph, run.id)


def add_task(backend: Backend, name: str, upload: Upload) -> Task:
    """Read a file and make the memories that the usual graph searches.

    Args:
        backend: The server's state.
        name: The file's name.
        upload: Its bytes; closed once they are read, or when the work has ended.
    """
    graph = backend.config.graph

    def do(session: Session, listen: Listen, cancel: Cancel) -> Made:
        content = upload.read()
        upload.close()
        texts = load_bytes(content, name)
        if cancel.is_set():
            raise Interrupted("Interrupted.", "Add the file again.")
        documents = store_texts(session, texts, listen=listen)
        for document in documents:
            session.prepare(document, graph=graph, listen=listen, cancel=cancel)
        return Made(document=documents[0].id)

    return Task("add", Wanted(backend.names), do, name, graph, release=upload.close)


def estimated(backend: Backend, asked: EstimateAsked) -> dict[str, Any]:
    """What asking would cost; no model is loaded.

    Raises:
        InputError: If a document, the graph, a setting or a model cannot be used.
    """
    graph = asked.graph or backend.config.graph
    settings = _settings(graph, asked.settings, None)
    found = [backend.library.documents.get(one) for one in _documents(backend, asked.document_ids, None)]
    lengths = [(one.id, one.length) for one in found]
    with backend.looking(Wanted(_names(backend, asked.models))) as session:
        return session.estimate(asked.question, lengths, graph=graph, settings=settings).as_json()


def _names(backend: Backend, named: Mapping[str, str]) -> RoleNames:
    backend.check_models(named)
    return renamed(backend.names, named)


def _stored(names: RoleNames, counted_by: Mapping[str, str] | None) -> Wanted:
    counted = RoleNames(**counted_by) if counted_by is not None else names
    return Wanted(names, stored=True, counted_by=None if counted == names else counted)


def _settings(graph: str, given: Mapping[str, Any], parent: Run | None) -> dict[str, Any]:
    """Settings that were given over those of the run that is gone on from, checked."""
    chosen = get_graph(graph)
    before = chosen.still_known(parent.settings) if parent and parent.graph == graph else {}
    settings = {**before, **given}
    chosen.settings(settings)
    return settings


def _documents(backend: Backend, asked: Sequence[str], parent: Run | None) -> list[str]:
    documents = backend.library.documents
    if not asked:
        asked = parent.document_ids if parent else [document.id for document in documents.all()]
    if not asked:
        raise InputError("There is no document to ask.", "Add one first.")
    return [documents.get(identity).id for identity in asked]
