"""What must hold in a workspace, looked at without changing anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from sqlite3 import Row

from rereader.memory.bank import STALE_SECONDS
from rereader.memory.block_files import size_text
from rereader.memory.care.damage import Check, found_by, sqlite_faults
from rereader.memory.care.debris import orphan_files, orphan_tables, size_of
from rereader.memory.care.hints import REPAIR_OR_READD, REPAIR_OR_RESTORE, RESTORE
from rereader.memory.database import translated
from rereader.memory.library import Library
from rereader.memory.migrations import MIGRATIONS
from rereader.memory.shards import open_shards
from rereader.schema import Damaged
from rereader.schema.findings import SHOWN, Finding, listed, verdict
from rereader.schema.wording import counted, short

StoreCheck = Callable[[Library], list[Finding]]


def stored_version(folder: Path) -> int:
    """The schema version of a workspace's library, read without upgrading it.

    Raises:
        StoreError: If the file cannot be read.
    """
    path = folder / "library.db"
    with translated(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema_version(library: Library) -> list[Finding]:
    """The library has the schema that this version writes."""
    row = library.database.row("PRAGMA user_version")
    version = int(row[0]) if row else 0
    if version == len(MIGRATIONS):
        return [Finding(f"schema version {version}")]
    return [Finding(f"schema version {version}, not {len(MIGRATIONS)}", "problem", "Upgrade Rereader.")]


def quick_check(library: Library) -> list[Finding]:
    """SQLite finds no damage, and no row refers to one that is gone.

    Raises:
        Damaged: If it finds some.
    """
    if faults := sqlite_faults(library):
        raise Damaged(faults[0], RESTORE)
    lost = library.database.rows("PRAGMA foreign_key_check")
    if lost:
        rows = counted(len(lost), "row refers to one that is gone", "rows refer to rows that are gone")
        return [Finding(f"{rows} ({listed(sorted({row[0] for row in lost}))})", "problem", REPAIR_OR_RESTORE)]
    return [Finding("SQLite finds no damage")]


def texts_whole(library: Library) -> list[Finding]:
    """Every document's text has the length that is noted for it."""
    rows = library.database.rows(
        "SELECT title, length, (SELECT COALESCE(SUM(LENGTH(text)), 0) FROM text_blocks WHERE document_id = id) AS held "
        "FROM documents"
    )
    wrong = [row["title"] for row in rows if row["held"] != row["length"]]
    good = counted(len(rows), "document has its whole text", "documents have their whole text")
    return verdict(good, ("text that is not whole", "texts that are not whole"), wrong, REPAIR_OR_READD)


def chunks_partition(library: Library) -> list[Finding]:
    """Chunks follow one another without a gap from the first character of a document to its last."""
    good = f"the chunks of {counted(_count(library, 'chunkings'), 'cut')} partition the text"
    wrong = [row["title"] for row in _gapped(library)]
    return verdict(good, ("cut with gaps", "cuts with gaps"), wrong, REPAIR_OR_READD)


def passages_partition(library: Library) -> list[Finding]:
    """Passages follow one another inside their chunks, and together they are the chunks."""
    passages = ("passage lies in its place inside its chunk", "passages lie in order inside their chunks")
    wrong = [row["title"] for row in _misplaced(library)]
    bad = ("cut with passages out of place", "cuts with passages out of place")
    return verdict(counted(_count(library, "passages"), *passages), bad, wrong, REPAIR_OR_READD)


def broken_cuts(library: Library) -> dict[int, str]:
    """Cuts whose chunks or passages are wrong though the length of their text is right, with their document's id."""
    whole = {row["id"] for row in library.database.rows(_WHOLE_TEXTS)}
    wrong = [*_gapped(library), *_misplaced(library)]
    return {row["chunking"]: row["document_id"] for row in wrong if row["document_id"] in whole}


_WHOLE_TEXTS = (
    "SELECT id FROM documents "
    "WHERE length = (SELECT COALESCE(SUM(LENGTH(text)), 0) FROM text_blocks WHERE document_id = id)"
)


def _gapped(library: Library) -> list[Row]:
    return library.database.rows(
        """SELECT id AS chunking, document_id, title FROM (
            SELECT chunkings.id AS id, document_id, title, documents.length AS length, chunkings.chunks AS promised,
                COUNT(chunking) AS found, MIN(start) AS first, MAX(end) AS last, MAX(gap) AS gap
            FROM chunkings JOIN documents ON documents.id = document_id
            LEFT JOIN (SELECT chunking, start, end,
                    start != COALESCE(LAG(end) OVER (PARTITION BY chunking ORDER BY ordinal), start) AS gap FROM chunks)
                ON chunkings.id = chunking GROUP BY chunkings.id)
        WHERE first OR gap OR last IS NOT length OR found != promised"""
    )


def _misplaced(library: Library) -> list[Row]:
    return library.database.rows(
        """SELECT DISTINCT chunking, document_id, title FROM (SELECT chunks.chunking AS chunking,
                chunks.end - chunks.start AS size, COALESCE(SUM(passage.end - passage.start), 0) AS held,
                MAX(before OR passage.start < chunks.start OR passage.end > chunks.end) AS wrong
            FROM chunks LEFT JOIN (SELECT chunking, chunk, start, end,
                    start < COALESCE(LAG(end) OVER (PARTITION BY chunking ORDER BY id), 0) AS before
                FROM passages) AS passage
            ON passage.chunking = chunks.chunking AND passage.chunk = chunks.ordinal
            GROUP BY chunks.chunking, chunks.ordinal)
        JOIN chunkings ON chunkings.id = chunking JOIN documents ON documents.id = document_id
        WHERE wrong OR held != size"""
    )


def spans_inside(library: Library) -> list[Finding]:
    """Every record points at characters that its document has."""
    rows = library.database.rows(
        "SELECT record_id FROM record_spans LEFT JOIN documents ON documents.id = document_id "
        "WHERE documents.id IS NULL OR record_spans.start > record_spans.end OR record_spans.end > length"
    )
    spans = ("span of a record lies inside its text", "spans of records lie inside their texts")
    bad = ("record that points outside of its text", "records that point outside of their text")
    good = counted(_count(library, "record_spans"), *spans)
    return verdict(good, bad, [short(row[0]) for row in rows], REPAIR_OR_READD)


def missing_indexes(library: Library) -> list[int]:
    """Complete spaces whose FAISS files are missing, or hold another number of vectors than the table."""
    rows = library.database.rows(
        "SELECT id, (SELECT COUNT(*) FROM vectors WHERE space = spaces.id) AS count FROM spaces WHERE complete"
    )
    return [row["id"] for row in rows if row["count"] and _held(library, row["id"]) != row["count"]]


def indexes_match(library: Library) -> list[Finding]:
    """FAISS files hold as many vectors as the table; those of a space that do not are built again when needed."""
    wrong = [str(space) for space in missing_indexes(library)]
    if not wrong:
        return [Finding("FAISS indexes have as many vectors as the tables")]
    what = counted(len(wrong), "FAISS index is missing or stale", "FAISS indexes are missing or stale")
    mend = "Nothing to do: the next question builds such an index again from the table."
    return [Finding(f"{what} (spaces {listed(wrong)})", "note", mend)]


def orphans(library: Library) -> list[Finding]:
    """No file and no table is left whose owner is gone."""
    files = [str(path.relative_to(library.workspace)) for path in orphan_files(library)]
    mend = "They go with: rereader gc"
    bad = ("file that belongs to nothing", "files that belong to nothing")
    found = verdict("no file is left over", bad, files, mend, "warning")
    young = set(library.bank.leftovers()) - set(library.bank.leftovers(STALE_SECONDS))
    tables = [f"fulltext_{chunking}" for chunking in orphan_tables(library)]
    bad = ("full-text index of nothing", "full-text indexes of nothing")
    return found + _young_files(len(young)) + verdict("", bad, tables, mend, "warning")


def _young_files(count: int) -> list[Finding]:
    """Another process may be at work on files that no row names yet."""
    if not count:
        return []
    mend = "Nothing to do: a process may be at work; if none is, they go when the next ones are made."
    memories = counted(count, "compressed memory is", "compressed memories are")
    return [Finding(f"{memories} written and not entered yet", "note", mend)]


def half_made(library: Library) -> list[Finding]:
    """Memories that were begun and not finished are said; the next question goes on with them."""
    count = _count(library, "spaces WHERE NOT complete")
    if not count:
        return []
    mend = "Run: rereader add FILE, or ask again; it goes on where it stopped."
    return [Finding(f"{counted(count, 'memory', 'memories')} with vectors that are half made", "note", mend)]


def kept_texts(library: Library) -> list[Finding]:
    """How much room the texts take that models have read and kept; they are a convenience and nothing else."""
    sizes = [size_of(path) for path in library.kept_texts()]
    if not sizes:
        return []
    texts = counted(len(sizes), "kept text takes", "kept texts take")
    what = f"{texts} {sum(sizes) / 1e6:,.0f} MB in {library.workspace / 'kv'}"
    return [
        Finding(what, "note", "They go with: rereader gc --drop texts. A question that asks for them makes them again.")
    ]


def missing_blocks(library: Library) -> list[str]:
    """Keys of compressed memories whose file is missing or has another size."""
    rows = library.database.rows(_BLOCKS)
    return [row["key"] for row in rows if not library.bank.files.looks_whole(row["key"], row["bytes"])]


_BLOCKS = "SELECT key, MAX(bytes) AS bytes FROM kv_blocks GROUP BY key"


def blocks_whole(library: Library) -> list[Finding]:
    """Every compressed chunk has its file, of the right size; what is in it is checked when it is read."""
    rows = library.database.rows(_BLOCKS)
    if not rows:
        return []
    size, lost = size_text(sum(row["bytes"] for row in rows)), missing_blocks(library)
    memories = counted(len(rows), "compressed memory takes", "compressed memories take")
    told = f"{memories} {size} of at most {size_text(library.bank.limit)}"
    found = [Finding(f"{told}, in {library.bank.files.folder}")]
    if lost:
        what = f"files of {counted(len(lost), 'compressed memory', 'compressed memories')} are missing or damaged"
        found.append(Finding(what, "note", "Nothing to do: they are made again when a question needs them."))
    return found


def unfinished_runs(library: Library) -> list[Finding]:
    """Runs that were interrupted, killed or failed can be gone on with."""
    rows = library.database.rows("SELECT id, status FROM runs WHERE answer IS NULL ORDER BY created_at DESC")
    working = [row["id"] for row in rows if library.is_at_work(row["id"])]
    waiting = [row["id"] for row in rows if row["id"] not in working]
    found = [Finding(f"run {identity} is at work in a process", "note") for identity in working]
    for identity in waiting[:SHOWN]:
        mend = f"Run: rereader runs resume {identity}"
        found.append(Finding(f"run {identity} is not finished ({len(waiting)} in all)", "note", mend))
    return found or [Finding("every run is finished")]


STORE_CHECKS: tuple[StoreCheck, ...] = (
    schema_version,
    quick_check,
    texts_whole,
    chunks_partition,
    passages_partition,
    spans_inside,
    indexes_match,
    orphans,
    half_made,
    kept_texts,
    blocks_whole,
    unfinished_runs,
)


def library_checks(library: Library) -> list[Check]:
    """The checks of a library."""
    return [partial(check, library) for check in STORE_CHECKS]


def check_library(library: Library) -> list[Finding]:
    """What they find; see :func:`rereader.memory.care.damage.found_by`."""
    return found_by(library, library_checks(library))


def _count(library: Library, rows: str) -> int:
    found = library.database.row(f"SELECT COUNT(*) FROM {rows}")
    return int(found[0]) if found else 0


def _held(library: Library, space: int) -> int:
    """Vectors in a space's FAISS files, as far as they can be read."""
    found = open_shards(library.workspace / "index", space)
    return found.total if found else 0
