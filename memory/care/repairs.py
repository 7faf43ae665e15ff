"""What can be made again is made again, what belongs to nothing goes; each thing that is done is said.

Every mend is one transaction or one file that takes another's place, so it may be killed at any moment and run again.
What a process is at work on is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from rereader.memory.care import faults
from rereader.memory.care.damage import sqlite_faults
from rereader.memory.care.debris import delete_files, orphan_files, orphan_tables
from rereader.memory.care.depth import Depth
from rereader.memory.care.hints import RESTORE
from rereader.memory.care.shape import missing_parts
from rereader.memory.invariants import broken_cuts
from rereader.memory.library import Library
from rereader.models.files import PRIVATE_FILE
from rereader.schema import Damaged, StoreError
from rereader.schema.findings import Finding, Noun, listed
from rereader.schema.wording import counted, short

Mend = Callable[[Library, Depth], list[Finding]]


def schema(library: Library, depth: Depth) -> list[Finding]:
    """Tables, columns and indexes that are not there are added."""
    missing = missing_parts(library.database)
    with library.database.transaction():
        for _, statement in missing:
            library.database.execute(statement)
    added = ("part of the schema was added", "parts of the schema were added")
    return _mended(added, [what for what, _ in missing])


def sqlite_indexes(library: Library, depth: Depth) -> list[Finding]:
    """SQLite's own indexes are made again from its tables.

    Raises:
        Damaged: If that is not enough.
    """
    if not sqlite_faults(library, whole=True):
        return []
    with suppress(StoreError):
        library.database.execute("REINDEX")
    if faults := sqlite_faults(library, whole=True):
        raise Damaged(faults[0])
    return [Finding("SQLite's indexes were made again", "mended")]


def lost_rows(library: Library, depth: Depth) -> list[Finding]:
    """Rows of what was removed go, and those that are made again; a text or a run that lost its own row stays."""
    gone: list[str] = []
    with library.database.transaction():
        while lost := library.database.rows("PRAGMA foreign_key_check"):
            parts = sorted({(row[0], row[2]) for row in lost})
            went = [table for table, parent in parts for _ in range(_delete_lost(library, table, parent))]
            if not went:  # what is left is a loss, which the examination tells
                break
            gone += went
    return _mended(("row that referred to nothing was deleted", "rows that referred to nothing were deleted"), gone)


_MADE_AGAIN = {"chunkings", "spaces", "kv_sets", "calls"}
"""Tables that only what can be made again refers to."""
_LINKS = {"gists", "kv_blocks"}
"""Tables that say where a record is to be found, which is made again with it."""


def _delete_lost(library: Library, table: str, parent: str) -> int:
    keys = [key for key in library.database.rows(f"PRAGMA foreign_key_list({table})") if key["table"] == parent]
    removed = "" if parent in _MADE_AGAIN or table in _LINKS else " AND {1} IN (SELECT id FROM tombstones)"
    statement = "DELETE FROM {0} WHERE {1} IS NOT NULL AND {1} NOT IN (SELECT {2} FROM {3})" + removed
    return sum(library.database.execute(statement.format(table, key["from"], key["to"], parent)) for key in keys)


def lengths(library: Library, depth: Depth) -> list[Finding]:
    """A wrong length of a text that is itself the one that was added is put right."""
    wrong = library.database.rows(
        "SELECT id, title, held FROM (SELECT id, title, length, "
        "(SELECT COALESCE(SUM(LENGTH(text)), 0) FROM text_blocks WHERE document_id = id) AS held FROM documents) "
        "WHERE length != held"
    )
    changed = faults.changed_texts(library, Depth(whole=True)) if wrong else []
    right = [row for row in wrong if row["id"] not in changed]
    rows = [(row["held"], row["id"]) for row in right]
    library.database.execute_many("UPDATE documents SET length = ? WHERE id = ?", rows)
    put = ("length of a text was put right", "lengths of texts were put right")
    return _mended(put, [row["title"] for row in right])


def cuts(library: Library, depth: Depth) -> list[Finding]:
    """Cuts with gaps go, with their vectors; the next question cuts the text again, and embeds from the cache."""
    gone, found = [], []
    for chunking, document in broken_cuts(library).items():
        if _drop_cut(library, chunking, document):
            gone.append(f"{short(document)} (cut {chunking})")
        else:
            found.append(_at_work(f"cut {chunking}", document))
    removed = ("damaged cut was removed", "damaged cuts were removed")
    return _mended(removed, gone, "; the next question cuts the text again") + found


def _drop_cut(library: Library, chunking: int, document: str) -> bool:
    with library.database.transaction():
        if library.is_busy(document):
            return False
        spaces = [row["id"] for row in library.database.rows("SELECT id FROM spaces WHERE chunking = ?", (chunking,))]
        blocks = [row["key"] for row in library.database.rows(_BLOCKS_OF, (chunking,))]
        library.fulltext.drop(chunking)
        library.database.execute("DELETE FROM chunkings WHERE id = ?", (chunking,))
    library.vectors.drop_files(spaces)
    library.bank.drop_files(blocks)
    return True


_BLOCKS_OF = "SELECT DISTINCT key FROM kv_blocks JOIN kv_sets ON kv_sets.id = kv_set WHERE chunking = ?"


def full_texts(library: Library, depth: Depth) -> list[Finding]:
    """Full-text indexes are made again from passages and texts."""
    wrong = faults.wrong_fulltexts(library, depth)
    for chunking in wrong:
        library.chunks.refill(chunking, library.documents.slice)
    made = ("full-text index was made again (cut)", "full-text indexes were made again (cuts)")
    return _mended(made, [str(chunking) for chunking in wrong])


def vector_tables(library: Library, depth: Depth) -> list[Finding]:
    """Vectors with gaps go; the next question makes them again from the cache of calls."""
    gone, found = [], []
    for space in faults.broken_tables(library):
        row = library.database.row(
            "SELECT document_id FROM spaces JOIN chunkings ON chunkings.id = chunking WHERE spaces.id = ?", (space,)
        )
        document = row["document_id"] if row else ""
        if _empty_space(library, space, document):
            gone.append(str(space))
        else:
            found.append(_at_work(f"space {space}", document))
    removed = ("memory's damaged vectors were removed (space)", "memories' damaged vectors were removed (spaces)")
    return _mended(removed, gone, "; the next question makes them again") + found


def _empty_space(library: Library, space: int, document: str) -> bool:
    with library.database.transaction():
        if library.is_busy(document):
            return False
        library.database.execute("DELETE FROM vectors WHERE space = ?", (space,))
        library.database.execute("UPDATE spaces SET complete = 0 WHERE id = ?", (space,))
    library.vectors.drop_files([space])
    return True


def indexes(library: Library, depth: Depth) -> list[Finding]:
    """FAISS files are written again from the table."""
    wrong = faults.stale_indexes(library, depth)
    for space in wrong:
        library.vectors.rebuild(space)
    written = ("FAISS index was written again (space)", "FAISS indexes were written again (spaces)")
    return _mended(written, [str(space) for space in wrong])


def memories(library: Library, depth: Depth) -> list[Finding]:
    """Damaged compressed memories and kept texts go; a question that needs them makes them again."""
    try:
        keys, texts = faults.bad_blocks(library, depth), faults.bad_texts(library, depth)
    except ImportError:
        return [Finding(faults.UNCHECKED, "note")]
    library.bank.forget(keys)
    delete_files(texts)
    removed = ("damaged compressed memory was removed", "damaged compressed memories were removed")
    return _mended(removed, [*map(short, keys), *(path.name for path in texts)])


def calls(library: Library, depth: Depth) -> list[Finding]:
    """Cached replies that cannot be read go; the call is made again when it is needed."""
    wrong = faults.unreadable_calls(library, depth)
    library.database.execute_many("DELETE FROM calls WHERE key = ?", [(key,) for key in wrong])
    deleted = ("unreadable cached reply was deleted", "unreadable cached replies were deleted")
    return _mended(deleted, list(map(short, wrong)))


def leftovers(library: Library, depth: Depth) -> list[Finding]:
    """Files and full-text tables of nothing are deleted."""
    files, tables = orphan_files(library), orphan_tables(library)
    delete_files(files)
    for chunking in tables:
        library.fulltext.drop(int(chunking))
    names = [str(path.relative_to(library.workspace)) for path in files]
    deleted = ("leftover was deleted", "leftovers were deleted")
    return _mended(deleted, [*names, *(f"fulltext_{chunking}" for chunking in tables)])


def rights(library: Library, depth: Depth) -> list[Finding]:
    """Files that others may read become their owner's alone."""
    wrong = faults.open_files(library)
    for path in wrong:
        path.chmod(PRIVATE_FILE)
    became = ("file became its owner's alone", "files became their owner's alone")
    return _mended(became, [path.name for path in wrong])


MENDS: tuple[Mend, ...] = (
    sqlite_indexes,
    schema,
    lost_rows,
    lengths,
    cuts,
    full_texts,
    vector_tables,
    indexes,
    memories,
    calls,
    leftovers,
    rights,
)
"""In this order: what SQLite cannot read says nothing about the rest, a cut can be judged only beside the right length,
an index only beside whole vectors."""


def repair(library: Library, depth: Depth, mends: Sequence[Mend] = MENDS) -> list[Finding]:
    """Mend what can be mended; call it while ``caring``. What could not is a finding, too; check it afterwards.

    In a library that SQLite finds damaged no row is touched: what cannot be read would look like what is not there.
    """
    found: list[Finding] = []
    for mend in mends:
        try:
            found += mend(library, depth)
        except (StoreError, OSError) as error:
            if isinstance(error, Damaged) and sqlite_faults(library, whole=True):
                told = "the library is damaged beyond repair, and was left as it is"
                return [*found, Finding(told, "problem", RESTORE)]
            told = f"{mend.__name__.replace('_', ' ')} could not be mended: {error}"
            found.append(Finding(told, "problem", "See what is found below."))
    return found


def _mended(what: Noun, wrong: Sequence[str], then: str = "") -> list[Finding]:
    return [Finding(f"{counted(len(wrong), *what)}: {listed(wrong)}{then}", "mended")] if wrong else []


def _at_work(what: str, document: str) -> Finding:
    told = f"{what} of document {short(document)} was left alone: a process is at work on it"
    return Finding(told, "warning", "Run the repair again when it has ended.")
