"""A workspace: everything Rereader keeps, in one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rereader.memory.bank import Bank
from rereader.memory.calls import CallCache
from rereader.memory.chunks import ChunkStore
from rereader.memory.database import Database, translated
from rereader.memory.documents import DocumentStore
from rereader.memory.fulltext import FullText
from rereader.memory.heat import Heat, heats
from rereader.memory.locks import alone, held, lock_at, taken
from rereader.memory.parts import PartStore
from rereader.memory.records import RecordStore
from rereader.memory.removing import delete_owned
from rereader.memory.runs import RunStore
from rereader.memory.working import WorkingMemory
from rereader.models.files import PRIVATE_FOLDER, stranded
from rereader.schema import AtWork, Document, StoreError
from rereader.schema.wording import short

if TYPE_CHECKING:
    from rereader.memory.vectors import VectorStore

_TURN_SECONDS = 0.5
"""How long a process waits for another before it looks whether to give up."""
_ASKING_SECONDS = 1.0
"""How long somebody may hold the lock of a run who only asks whether it is at work."""
NOT_ERASED = (
    "What was deleted still stands in the library's files, since another process reads an older state of them (a "
    "backup, say). When it has ended, run: rereader gc"
)
"""What to say where text could not be taken out of the files yet."""


@dataclass(frozen=True)
class Removed:
    """What became of a document that was removed.

    Args:
        runs: How many runs went along.
        erased: Whether its text is out of the library's files; otherwise another process reads an older state of them.
    """

    runs: int
    erased: bool


class Library:
    """The stores of one workspace.

    Args:
        workspace: The folder; made (readable by its owner only) if it is not there.
        kv_bytes: Most bytes that compressed chunks may take; ``None`` leaves that to the bank.

    Raises:
        StoreError: If the folder cannot be written or was written by a newer version.
    """

    def __init__(self, workspace: Path, kv_bytes: int | None = None) -> None:
        self.workspace = Path(workspace)
        with translated(self.workspace / "library.db"):
            check_place(self.workspace)
            for folder in (self.workspace, self.workspace / "index", self.workspace / "runs"):
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        self.database = Database(self.workspace / "library.db")
        self.documents = DocumentStore(self.database)
        self.chunks = ChunkStore(self.database)
        self.fulltext = FullText(self.database)
        self.records = RecordStore(self.database)
        self.bank = Bank(self.database, self.records, self.workspace / "kv", kv_bytes)
        self.calls = CallCache(self.database)
        self.runs = RunStore(self.database)
        self.parts = PartStore(self.database)

    @cached_property
    def vectors(self) -> VectorStore:
        """Vectors and their FAISS files; numpy is loaded for them, which whoever looks at a run does without."""
        from rereader.memory.vectors import VectorStore

        return VectorStore(self.database, self.workspace / "index")

    def working_memory(self, run_id: str) -> WorkingMemory:
        """The ledger of a run."""
        return WorkingMemory(self.database, self.records, run_id)

    def checkpoint_path(self, run_id: str) -> Path:
        """Where LangGraph's checkpoints of a run lie."""
        return self.workspace / "runs" / f"{run_id}.sqlite"

    def page_path(self, run_id: str) -> Path:
        """Where the page that ``rereader open`` writes of a run lies."""
        return self.workspace / "runs" / f"{run_id}.html"

    def files_of(self, run_id: str) -> list[Path]:
        """The files of a run: checkpoints, page, lock."""
        return sorted((self.workspace / "runs").glob(f"{run_id}.*"))

    @contextmanager
    def adding(self, document_id: str, meanwhile: Callable[[], None]) -> Iterator[None]:
        """Let one process at a time compress a document; a second one waits and then finds the work done.

        ``meanwhile`` is called twice a second while waiting and may raise to give up.
        """
        lock = lock_at(self.adding_lock(document_id))
        while not taken(lock, _TURN_SECONDS):
            meanwhile()
        try:
            yield
        finally:
            lock.release()

    def being_read(self, but: str = "") -> set[str]:
        """Ids of the documents of runs that are at work in some process, all runs ``but`` one."""
        rows = self.database.rows(
            "SELECT run_id, document_id FROM run_documents JOIN runs ON id = run_id "
            "WHERE status = 'running' AND run_id != ?",
            (but,),
        )
        return {row["document_id"] for row in rows if self.is_at_work(row["run_id"])}

    def at_work(self) -> bool:
        """Whether some process is adding a document or running a run."""
        rows = self.database.rows("SELECT id FROM runs WHERE status = 'running'")
        adding = any(held(path) for path in (self.workspace / "index").glob("*.lock"))
        return adding or any(self.is_at_work(row["id"]) for row in rows)

    def is_busy(self, document_id: str) -> bool:
        """Whether some process is adding a document, or running a run on it."""
        return held(self.adding_lock(document_id)) or document_id in self.being_read()

    def is_at_work(self, run_id: str) -> bool:
        """Whether a process is running this run now."""
        return held(self.run_lock(run_id))

    def working_on(self, run_id: str) -> AbstractContextManager[None]:
        """Hold the lock of a run, so that it is at work.

        Raises:
            AtWork: If another one has it, for longer than somebody who only asks whether it is at work.
        """
        told = f"Run {run_id} is at work, here or in another process."
        return alone(self.run_lock(run_id), told, "Wait for it to end.", _ASKING_SECONDS)

    def run_lock(self, run_id: str) -> Path:
        """The lock that a process holds while it runs a run."""
        return self.workspace / "runs" / f"{run_id}.sqlite.lock"

    def kept_text(self, document_ids: Sequence[str], identity: str) -> Path:
        """The file that what a model has read of some documents is kept in; it goes when one of them does."""
        names = "-".join(map(short, document_ids))
        return self.workspace / "kv" / f"{names}.{identity}.safetensors"

    def kept_texts(self, document_id: str = "") -> list[Path]:
        """The files that :meth:`kept_text` names: all of them, or those of a document."""
        return sorted(path for path in (self.workspace / "kv").glob("*.safetensors") if short(document_id) in path.name)

    def _half_written(self, document_id: str) -> list[Path]:
        """What a killed process left of a document's kept texts."""
        parts = (self.workspace / "kv").glob("*.safetensors.*.part")
        return [path for path in parts if short(document_id) in path.name]

    def heats(self, run_id: str) -> list[Heat]:
        """What the run's rounds of attention looked at."""
        return heats(self.records.of_run(run_id))

    def remove(self, document_id: str) -> Removed:
        """Delete a document and all that was derived from it: chunks, memories, runs, cached calls, files.

        Only a tombstone with the ids stays. While another process reads an older state of the library, what was deleted
        still stands in its files; :meth:`erase` (or ``rereader gc``) makes it go when that one has ended.

        Raises:
            InputError: If there is no such document, or a process is adding it or running a run on it.
        """
        document = self.documents.get(document_id)
        database = self.database
        with database.transaction():
            chunkings = database.rows("SELECT id FROM chunkings WHERE document_id = ?", (document.id,))
            spaces = database.rows(
                "SELECT spaces.id FROM spaces JOIN chunkings ON chunkings.id = chunking WHERE document_id = ?",
                (document.id,),
            )
            runs = database.rows("SELECT run_id FROM run_documents WHERE document_id = ?", (document.id,))
            self._refuse_at_work(document, [run["run_id"] for run in runs])
            blocks = self.bank.keys_of(document.id)
            for chunking in chunkings:
                self.fulltext.drop(chunking["id"])
            for owner in (document.id, *(run["run_id"] for run in runs)):
                delete_owned(database, owner, "removed")
            database.execute(
                "DELETE FROM calls WHERE key IN (SELECT key FROM call_documents WHERE document_id = ?)",
                (document.id,),
            )
            database.execute("DELETE FROM documents WHERE id = ?", (document.id,))
        self.vectors.drop_files([space["id"] for space in spaces])
        self.bank.drop_files(blocks)
        for run in runs:
            for leftover in self.files_of(run["run_id"]):
                leftover.unlink(missing_ok=True)
        for kept in [*self.kept_texts(document.id), *self._half_written(document.id)]:
            kept.unlink(missing_ok=True)
        self.adding_lock(document.id).unlink(missing_ok=True)
        return Removed(len(runs), self.erase())

    def erase(self) -> bool:
        """Let nothing of what was deleted stay in the library's file or its journal; returns whether that is so."""
        with suppress(StoreError):  # no turn or no room for it: SQLite has written zeros over the rows all the same
            return self.database.vacuum()
        return self.database.settle()

    def adding_lock(self, document_id: str) -> Path:
        """The lock that a process holds while it makes a document's memories."""
        return self.workspace / "index" / f"{document_id[:32]}.lock"

    def _refuse_at_work(self, document: Document, run_ids: Sequence[str]) -> None:
        """Called inside a write transaction, in which no other process can create a run."""
        for run_id in run_ids:
            if self.is_at_work(run_id):
                msg = f"{document.title} is being read by run {run_id}."
                raise AtWork(msg, "Wait for it to end, or stop it with Ctrl-C, then remove the document.")
        if held(self.adding_lock(document.id)):
            msg = f"{document.title} is being added by another process."
            raise AtWork(msg, "Wait for it to end, or stop it with Ctrl-C, then remove the document.")

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_place(workspace: Path) -> None:
    """Refuse a place where no workspace can be, or where one has to come back to first.

    Raises:
        StoreError: If its name is no text (FAISS cannot open files below it), or a restore was killed while it replaced
            what was there.
    """
    try:
        str(workspace).encode()
    except UnicodeEncodeError as error:
        msg = f"The name of the workspace {os.fsencode(workspace)!r} is not UTF-8."
        raise StoreError(msg, "Name another folder with --workspace.") from error
    if not workspace.exists() and (old := stranded(workspace.resolve())):
        msg = f"The workspace {workspace} lies in {old}: a restore was stopped while it took its place."
        raise StoreError(msg, f"Run the restore again, or move it back: mv '{old}' '{workspace}'")
