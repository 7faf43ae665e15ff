"""Files and tables whose owner is gone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from rereader.memory.bank import STALE_SECONDS
from rereader.memory.library import Library


def orphan_files(library: Library) -> list[Path]:
    """Files that belong to nothing, and half-written ones that nobody writes any more.

    Files are listed before rows: whoever makes a file makes its row first, so what is being made is never taken for an
    orphan. Checkpoints of a fork come before its row, while its lock is held, which is looked at in between. Compressed
    memories and half-written files come before theirs, too; they are left alone for an hour.
    """
    folder = library.workspace
    indexes, runs = list(folder.glob("index/space-*.faiss")), list(folder.glob("runs/*.*"))
    made = {identity for identity in set(map(_run_of, runs)) if library.is_at_work(identity)}
    locks = list(folder.glob("index/*.lock"))
    young = [*folder.glob("index/.building-*"), *folder.glob("kv/*.part"), *folder.glob("runs/*.part")]
    spaces, known = _ids(library, "spaces"), _ids(library, "runs") | made
    documents = {identity[:32] for identity in _ids(library, "documents")}
    found = [path for path in indexes if path.stem.split("-")[1] not in spaces]
    unknown = [path for path in runs if _run_of(path) not in known]
    found += [path for path in unknown if path.suffix != ".lock"]
    young += [path for path in unknown if path.suffix == ".lock"]  # one that is being taken is there before it is held
    found += [path for path in locks if path.stem not in documents]
    return sorted({*found, *_older(young, STALE_SECONDS), *library.bank.leftovers(STALE_SECONDS)})


def orphan_tables(library: Library) -> list[str]:
    """Full-text tables of cuts that are gone."""
    tables = library.database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'fulltext_*'")
    found = {match[1] for row in tables if (match := re.fullmatch(r"fulltext_(\d+)", row[0]))}
    return sorted(found - _ids(library, "chunkings"), key=int)


def delete_files(paths: Iterable[Path]) -> None:
    """Delete files, as far as they are still there."""
    for path in paths:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _older(paths: Iterable[Path], seconds: float) -> list[Path]:
    before = time.time() - seconds
    return [path for path in paths if path.exists() and path.stat().st_mtime < before]


def _run_of(path: Path) -> str:
    return path.name.split(".")[0]


def _ids(library: Library, table: str) -> set[str]:
    return {str(row[0]) for row in library.database.rows(f"SELECT id FROM {table}")}
