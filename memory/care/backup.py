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
from contextlib import closing
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
from rereader.memory.care.debris import delete_files, size_of
from rereader.memory.care.depth import Meter
from rereader.memory.database import translated
from rereader.memory.library import Library
from rereader.memory.migrations import MIGRATIONS
from rereader.models.files import make_private, writing
from rereader.schema import InputError
from rereader.schema.events import Listener

_PAGES = 2048
_LEVEL = 1
_PASSES = 3
"""How often each byte is read or written: into a copy, into the archive, and back to check it."""


@dataclass(frozen=True)
class Saved:
    """What was saved: parts, their bytes, and those of the file."""

    parts: int
    bytes: int
    file_bytes: int


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
        StoreError: If something cannot be read or written.
    """
    _check_goal(library, goal, replace=replace)
    _sweep(goal)
    files = _files(library, memories=memories)
    meter = Meter("backup", _PASSES * sum(size_of(path) for path in (library.database.path, *files.values())), listen)
    with translated(goal), writing(goal, for_all=False) as beside:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            parts = dict(_write(library, archive, beside, meter, memories=memories))
            manifest = Manifest(
                format=FORMAT,
                rereader=__version__,
                schema_version=len(MIGRATIONS),
                created_at=time.time(),
                parts=parts,
            )
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        check(beside, meter)
        size = size_of(beside)
    return Saved(len(parts), manifest.bytes, size)


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


def _files(library: Library, *, memories: bool) -> dict[str, Path]:
    """What is taken beside the library, by name."""
    found = [*library.workspace.glob("runs/*.sqlite")]
    found += [*library.workspace.glob("kv/??/*"), *library.workspace.glob("kv/*.safetensors")] if memories else []
    named = {path.relative_to(library.workspace).as_posix(): path for path in sorted(found)}
    return {name: path for name, path in named.items() if is_part(name)}


def _write(
    library: Library, archive: zipfile.ZipFile, beside: Path, meter: Meter, *, memories: bool
) -> Iterator[tuple[str, Part]]:
    copy = beside.with_suffix(".copy.part")
    try:
        for name, path in _files(library, memories=False).items():
            if size_of(path):
                _snapshot(path, copy, meter)
                yield name, put(archive, name, copy, meter)
        _snapshot(library.database.path, copy, meter)
        yield LIBRARY, put(archive, LIBRARY, copy, meter)
    finally:
        copy.unlink(missing_ok=True)
    for name, path in _files(library, memories=memories).items():
        if name.startswith("kv/") and path.exists():
            yield name, put(archive, name, path, meter)


def _snapshot(source: Path, goal: Path, meter: Meter) -> None:
    """Copy a SQLite file as it is at one moment; others go on writing to it meanwhile."""
    goal.unlink(missing_ok=True)
    make_private(goal)
    with closing(sqlite3.connect(source, isolation_level=None)) as before, closing(sqlite3.connect(goal)) as after:
        before.execute("BEGIN")  # held, so that a write of somebody else does not make the copy begin anew
        before.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        page = int(before.execute("PRAGMA page_size").fetchone()[0])
        before.backup(after, pages=_PAGES, progress=lambda *_: meter.advance(_PAGES * page))
        after.execute("PRAGMA journal_mode=DELETE")  # all of it in one file
