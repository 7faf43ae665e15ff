"""A workspace in one file, taken while others write.

Checkpoints are taken first and the library after them, so that the library is at least as far as they are: as after a
kill, a resumed run does its last step again and duplicates nothing. Files of compressed memories come last, since each
is there before its row. FAISS files and pages are not taken: they are made again from the library.
"""

from __future__ import annotations

import sqlite3
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rereader import __version__
from rereader.memory.bank import STALE_SECONDS
from rereader.memory.care.archive import (
    FORMAT,
    LIBRARY,
    MANIFEST,
    Manifest,
    Part,
    is_part,
    parts_of,
    put,
    read_manifest,
)
from rereader.memory.care.damage import told_faults
from rereader.memory.care.debris import delete_files, size_of
from rereader.memory.care.depth import Meter
from rereader.memory.database import is_damage, translated
from rereader.memory.library import Library
from rereader.memory.migrations import MIGRATIONS
from rereader.models.files import make_private, writing
from rereader.schema import InputError, StoreError
from rereader.schema.events import Listener

_PAGES = 2048
_LEVEL = 1
_PASSES = 3
"""How often each byte is read or written: into a copy, into the archive, and back to check it."""


class Unreadable(StoreError):
    """A file of the workspace that is to be saved is damaged, or cannot be read."""


@dataclass(frozen=True)
class Saved:
    """What was saved.

    Args:
        parts: How many files of the workspace.
        bytes: Those of the parts.
        file_bytes: Those of the backup.
        left_out: What could not be read or is damaged, by the name of its file, and why.
    """

    parts: int
    bytes: int
    file_bytes: int
    left_out: dict[str, str]


def backup(library: Library, goal: Path, listen: Listener, *, memories: bool = True, replace: bool = False) -> Saved:
    """Write a workspace into one file, beside first and checked before it takes its name.

    Args:
        library: The workspace.
        goal: The file; its owner alone may read it.
        listen: Is told how far it has come.
        memories: Whether compressed memories and kept texts go along; they can be made again.
        replace: Whether a file that is there may be replaced.

    Raises:
        InputError: If the file is there, or cannot be where it is wanted.
        StoreError: If something cannot be written.
        Unreadable: If the library is damaged or cannot be read; then the file is as it was.
    """
    _check_goal(library, goal, replace=replace)
    _sweep(goal)
    files = {**_checkpoints(library), **(_memories(library) if memories else {}), LIBRARY: library.database.path}
    meter = Meter("backup", _PASSES * sum(map(size_of, files.values())), listen)
    with translated(goal), writing(goal, for_all=False) as beside:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            writer = _Writer(archive, beside, meter)
            _write(writer, library, memories=memories)
            manifest = Manifest(
                format=FORMAT,
                rereader=__version__,
                schema_version=len(MIGRATIONS),
                created_at=time.time(),
                parts=writer.parts,
            )
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        check(beside, meter)
        size = size_of(beside)
    return Saved(len(manifest.parts), manifest.bytes, size, writer.left_out)


def check(path: Path, meter: Meter) -> Manifest:
    """Read a backup whole and compare every byte with its manifest.

    Raises:
        InputError: If it is damaged or no backup.
    """
    with open_archive(path) as archive:
        manifest = read_manifest(archive, path)
        for _, blocks in parts_of(archive, manifest.parts, path):
            for block in blocks:
                meter.advance(len(block))
    return manifest


def open_archive(path: Path) -> zipfile.ZipFile:
    """The ZIP at a path.

    Raises:
        InputError: If there is none.
    """
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", "Name a file that 'rereader backup' has written.") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, IsADirectoryError) as error:
        raise InputError(f"{path} is no backup of a workspace.", "It is cut short, or another file.") from error


def _check_goal(library: Library, goal: Path, *, replace: bool) -> None:
    if goal.is_dir():
        raise InputError(f"{goal} is a folder.", "Name a file, for instance rereader.zip.")
    if not goal.absolute().parent.is_dir():
        raise InputError(f"There is no folder {goal.parent}.", "Make it first, or name another file.")
    if goal.exists() and not replace:
        raise InputError(f"{goal} is there already.", "Name another file, or add --replace.")
    if goal.resolve().is_relative_to(library.workspace.resolve()):
        raise InputError(f"{goal} lies inside the workspace that it is to save.", "Name a file outside of it.")


def _sweep(goal: Path) -> None:
    """Delete what a backup to the same file left that was killed long ago."""
    before = time.time() - STALE_SECONDS
    parts = [path for path in goal.absolute().parent.iterdir() if path.name.startswith(f"{goal.name}.")]
    delete_files(path for path in parts if path.suffix == ".part" and path.stat().st_mtime < before)


def _checkpoints(library: Library) -> dict[str, Path]:
    """The files of checkpoints by name."""
    return _named(library, "runs/*.sqlite")


def _memories(library: Library) -> dict[str, Path]:
    """The files of compressed memories and kept texts by name."""
    return _named(library, "kv/??/*", "kv/*.safetensors")


def _named(library: Library, *patterns: str) -> dict[str, Path]:
    found = sorted(path for pattern in patterns for path in library.workspace.glob(pattern))
    named = {path.relative_to(library.workspace).as_posix(): path for path in found}
    return {name: path for name, path in named.items() if is_part(name)}


def _write(writer: _Writer, library: Library, *, memories: bool) -> None:
    for name, path in _checkpoints(library).items():
        if size_of(path):  # else a run that has just begun, or is gone meanwhile
            with writer.unless_unreadable(name, path):
                writer.snapshot(name, path)
    writer.snapshot(LIBRARY, library.database.path)
    for name, path in _memories(library).items() if memories else ():
        with writer.unless_unreadable(name, path):
            writer.copy(name, path)


class _Writer:
    """Puts parts into an archive, and notes those that it cannot read.

    Args:
        archive: The archive.
        beside: Its file; copies of SQLite files lie beside it for a moment.
        meter: Is told how far it has come.
    """

    def __init__(self, archive: zipfile.ZipFile, beside: Path, meter: Meter) -> None:
        self.parts: dict[str, Part] = {}
        self.left_out: dict[str, str] = {}
        self._archive, self._meter = archive, meter
        self._copy = beside.with_suffix(".copy.part")

    @contextmanager
    def unless_unreadable(self, name: str, path: Path) -> Iterator[None]:
        """Note what cannot be read, unless it is gone meanwhile, and go on with the others."""
        try:
            yield
        except Unreadable as error:
            if path.exists():
                self.left_out[name] = error.message

    def copy(self, name: str, source: Path) -> None:
        """Put a file into the archive as it is."""
        try:
            file = source.open("rb")
        except OSError as error:
            raise _unreadable(source, error.strerror or str(error)) from error
        with file:
            self.parts[name] = put(self._archive, name, file, self._meter)

    def snapshot(self, name: str, source: Path) -> None:
        """Put a SQLite file into the archive as it is at one moment; others go on writing to it meanwhile."""
        try:
            _snapshot(source, self._copy, self._meter)
            self.copy(name, self._copy)
        finally:
            self._copy.unlink(missing_ok=True)


def _snapshot(source: Path, goal: Path, meter: Meter) -> None:
    """Copy a SQLite file into one file, and look whether the copy is whole: damage is copied like all else."""
    make_private(goal)
    with closing(_reading(source)) as before, closing(sqlite3.connect(goal)) as after:
        page = int(before.execute("PRAGMA page_size").fetchone()[0])
        try:
            before.backup(after, pages=_PAGES, progress=lambda *_: meter.advance(_PAGES * page))
            after.execute("PRAGMA journal_mode=DELETE")  # all of it in one file
            faults = told_faults(after.execute("PRAGMA quick_check"))
        except sqlite3.DatabaseError as error:
            if not is_damage(error):  # but a disk that has no room for the copy
                raise
            faults = [str(error)]
    if faults:
        raise _unreadable(source, f"it is damaged ({faults[0]})")


def _reading(source: Path) -> sqlite3.Connection:
    """A SQLite file in a transaction, so that a write of somebody else does not make a copy begin anew."""
    address = f"{source.resolve().as_uri()}?mode=rw"  # not made, if it is gone meanwhile
    try:
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _unreadable(source, str(error)) from error
    return connection


def _unreadable(source: Path, why: str) -> Unreadable:
    return Unreadable(f"{source} cannot be saved: {why}.", "See what 'rereader doctor' says of it.")
