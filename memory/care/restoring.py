"""A workspace from a backup: made beside, checked, and put into its place whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rereader.memory.block_files import size_text
from rereader.memory.care.archive import Manifest, parts_of, read_manifest
from rereader.memory.care.backup import open_archive
from rereader.memory.care.damage import sqlite_faults
from rereader.memory.care.depth import Meter, paced
from rereader.memory.database import translated
from rereader.memory.library import Library
from rereader.memory.locks import alone
from rereader.memory.migrations import MIGRATIONS
from rereader.models.files import PRIVATE_FOLDER, private, replace_folder, scratch_folder
from rereader.schema import AtWork, Busy, Damaged, InputError, StoreError
from rereader.schema.events import Listener

_SPARE = 50_000_000
"""Bytes that stay free on the disk."""


def restore(source: Path, workspace: Path, listen: Listener, *, replace: bool = False) -> Manifest:
    """Make a workspace from a backup.

    A workspace that it replaces stays whole until the new one is in its place, on the disk. Who is killed in between
    leaves it beside: the next restore to the same place gives it its place back first, and opening it says where it is.

    Args:
        source: The backup.
        workspace: Where to; not there, or an empty folder.
        listen: Is told how far it has come.
        replace: Whether a workspace that is there may be replaced, unless a process has it open.

    Raises:
        AtWork: If a process has the workspace open that is to be replaced.
        InputError: If the file is no backup or damaged, or something is where the workspace is wanted.
        StoreError: If it cannot be written.
    """
    workspace = workspace.resolve()
    with open_archive(source) as archive, translated(workspace):
        manifest = read_manifest(archive, source)
        if manifest.schema_version > len(MIGRATIONS):
            raise InputError(f"{source} was written by a newer Rereader ({manifest.rereader}).", "Upgrade Rereader.")
        workspace.parent.mkdir(parents=True, exist_ok=True)
        with _beside(workspace) as scratch:
            _check_place(workspace, replace=replace)
            _check_room(workspace.parent, manifest)
            made = _new_workspace(scratch / workspace.name)
            meter = Meter("restore", manifest.bytes, listen)
            for name, blocks in parts_of(archive, manifest.parts, source):
                _write(made / name, blocks, meter)
            _make_ready(made, listen)
            _put(scratch, workspace, replace=replace)
    return manifest


def _check_place(workspace: Path, *, replace: bool) -> None:
    if workspace.is_dir() and not any(workspace.iterdir()):
        return
    if workspace.exists() and not (workspace / "library.db").is_file():
        raise InputError(f"{workspace} is no workspace and not empty.", "Name another folder with --workspace.")
    if workspace.exists() and not replace:
        told = "Name an empty or new folder with --workspace, or add --replace, which deletes what is there."
        raise InputError(f"There is a workspace at {workspace} already.", told)


def _check_room(folder: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(folder).free - _SPARE
    if manifest.bytes > free:
        needed, had = size_text(manifest.bytes), size_text(max(0, free))
        told = f"The workspace takes {needed}; the disk of {folder} has {had} for it."
        raise StoreError(told, "Free some space, or name a folder on another disk with --workspace.")


@contextmanager
def _beside(workspace: Path) -> Iterator[Path]:
    """An empty folder beside the workspace; one process at a time restores to one place."""
    lock = workspace.with_name(f".{workspace.name}.restore.lock")
    message = f"Another process restores to {workspace} now."
    with alone(lock, message, "Wait for it to end."):
        try:
            with scratch_folder(workspace.parent, workspace.name) as scratch:
                yield scratch
        finally:
            lock.unlink(missing_ok=True)


def _new_workspace(made: Path) -> Path:
    for folder in (made, *(made / name for name in ("index", "kv", "runs"))):
        folder.mkdir(mode=PRIVATE_FOLDER)
    return made


def _write(path: Path, blocks: Iterator[bytes], meter: Meter) -> None:
    path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    with open(path, "xb", opener=private) as file:
        for block in blocks:
            file.write(block)
            meter.advance(len(block))
        file.flush()
        os.fsync(file.fileno())


def _make_ready(folder: Path, listen: Listener) -> None:
    """Upgrade the library if it is older, and make its FAISS files."""
    with Library(folder) as library:
        if sqlite_faults(library):
            raise InputError("The library in the backup is damaged.", "Take another backup.")
        spaces = library.database.rows("SELECT id FROM spaces WHERE complete")
        for row in paced("indexes", spaces, listen):
            library.vectors.rebuild(row["id"])


def _put(scratch: Path, workspace: Path, *, replace: bool) -> None:
    """Give a finished workspace its place; whoever opened the old one before cannot be there any more."""
    with _only_user(workspace / "library.db"):
        _check_place(workspace, replace=replace)  # another process may have made one there meanwhile
        replace_folder(scratch, workspace, for_all=False)


@contextmanager
def _only_user(path: Path) -> Iterator[None]:
    """Keep every other process from opening a library.

    Raises:
        AtWork: If one has it open.
        StoreError: If it cannot be looked at.
    """
    if not path.is_file():
        yield
        return
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            with translated(path):
                # Without a journal beside it, closing this connection touches no file of the new workspace.
                connection.execute("PRAGMA journal_mode=DELETE")
                connection.execute("BEGIN EXCLUSIVE")
        except Busy as error:
            told = f"A process has the workspace {path.parent} open."
            raise AtWork(told, "Stop it (rereader serve, a run, a notebook), then restore again.") from error
        except Damaged:
            pass  # what backups are for
        yield
