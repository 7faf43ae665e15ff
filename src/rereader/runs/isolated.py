"""A run in a workspace and a process of its own, so that its seconds and its memory are nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from rereader.memory.library import Library
from rereader.models.base import Cancel
from rereader.models.roles import RoleNames
from rereader.runs.rows import Failure, Row, ask_system, failed, failure_of
from rereader.runs.session import Listen, open_session
from rereader.runs.systems import System
from rereader.schema import Budget, Document, Event, Interrupted, Place, StoreError

_SAFE_PATH = "PYTHONSAFEPATH"
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Apart:
    """Which models a process of its own opens; see :func:`rereader.runs.session.open_session`."""

    names: RoleNames
    models_dir: Path
    runtime: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    apart: Apart
    origin: Path
    workspace: Path
    system: System
    question: str
    document_ids: tuple[str, ...]
    budget: Budget


def ask_apart(
    apart: Apart,
    origin: Path,
    system: System,
    question: str,
    document_ids: Sequence[str],
    *,
    budget: Budget,
    listen: Listen,
    cancel: Cancel | None,
) -> Row:
    """Put the question to one graph in a new process and an empty workspace, which is deleted afterwards.

    Args:
        apart: The models.
        origin: The workspace that holds the documents.
        system: The graph.
        question: The question.
        document_ids: The documents.
        budget: The run's limits.
        listen: Is told of the run's events.
        cancel: Stops the run at the next token when set.

    Raises:
        Interrupted: If ``cancel`` was set.
        StoreError: If a workspace cannot be read or written.
    """
    with TemporaryDirectory(prefix="rereader-") as folder:
        workspace = Path(folder) / "workspace"
        task = _Task(apart, origin, workspace, system, question, tuple(document_ids), budget)
        return _in_process(task, listen, cancel)


def _in_process(task: _Task, listen: Listen, cancel: Cancel | None) -> Row:
    spawn = multiprocessing.get_context("spawn")
    heard, told = spawn.Pipe(duplex=False)
    stop, stopper = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(task, told, stop))
    with _safe_path():
        process.start()
    told.close()
    stop.close()
    try:
        return _follow(heard, stopper, listen, cancel) or _ended(process, task.system)
    finally:
        stopper.close()  # a child that is still at work takes this for a stop
        _finish(process)
        heard.close()


@contextmanager
def _safe_path() -> Iterator[None]:
    """Let a process that is started meanwhile take no module from the folder that we are in."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def _follow(heard: Connection, stopper: Connection, listen: Listen, cancel: Cancel | None) -> Row | None:
    """Pass events on until the row comes; ``None`` if the process ends without one."""
    asked = False
    while True:
        if cancel is not None and cancel.is_set() and not asked:
            asked = True
            with suppress(OSError):
                stopper.send("stop")
        if not heard.poll(_POLL_SECONDS):
            continue
        try:
            message = heard.recv()
        except EOFError:
            return None
        if isinstance(message, Event):
            listen(message)
        elif isinstance(message, Row):
            return message
        else:
            raise message


def _ended(process: BaseProcess, system: System) -> Row:
    process.join(_GRACE_SECONDS)
    message = f"The process ended with code {process.exitcode} before it had an answer."
    return failed(system, Failure(message, "Perhaps there was too little memory.", 1))


def _finish(process: BaseProcess) -> None:
    process.join(_GRACE_SECONDS)
    if process.is_alive():
        process.terminate()
        process.join(_GRACE_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _work(task: _Task, told: Connection, stop: Connection) -> None:
    """The child: opens its own session, runs, sends events and then the row."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent says what it means
    cancel = threading.Event()
    threading.Thread(target=_await_stop, args=(stop, cancel), daemon=True).start()
    try:
        told.send(_ask(task, told.send, cancel))
    except (Interrupted, StoreError) as error:
        told.send(error)
    except Exception as error:
        told.send(failed(task.system, failure_of(error)))


def _ask(task: _Task, listen: Listen, cancel: Cancel) -> Row:
    apart = task.apart
    with (
        open_session(
            task.workspace,
            names=apart.names,
            models_dir=apart.models_dir,
            runtime=apart.runtime,
            warnings=apart.warnings,
        ) as session,
        Library(task.origin) as origin,
    ):
        documents = [copy_document(origin, session.library, identity) for identity in task.document_ids]
        identities = [document.id for document in documents]
        return ask_system(
            session, task.system, task.question, identities, budget=task.budget, listen=listen, cancel=cancel
        )


def copy_document(origin: Library, goal: Library, identity: str) -> Document:
    """Store a document of one workspace in another, with its places and under the same id."""
    document = origin.documents.get(identity)
    rows = origin.database.rows("SELECT kind, start, label FROM places WHERE document_id = ?", (document.id,))
    return goal.documents.add(
        origin.documents.text(document.id),
        title=document.title,
        source=document.source,
        loader=document.loader,
        places=[Place(**dict(row)) for row in rows],
    )


def _await_stop(stop: Connection, cancel: Cancel) -> None:
    with suppress(EOFError):  # the parent has ended
        stop.recv()
    cancel.set()
