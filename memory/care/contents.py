"""Checks of what is in a workspace, not only of how much: a sample of it, or every byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rereader.memory.care import faults
from rereader.memory.care.depth import Depth
from rereader.memory.care.shape import missing_parts
from rereader.memory.invariants import REPAIR, RESTORE, missing_blocks, missing_indexes
from rereader.memory.library import Library
from rereader.schema import StoreError
from rereader.schema.findings import Finding, verdict

ContentCheck = Callable[[Library, Depth], list[Finding]]


def tables_complete(library: Library, depth: Depth) -> list[Finding]:
    """Every table, column and index of this version is there."""
    missing = [what for what, _ in missing_parts(library.database)]
    return verdict("tables and indexes are those of this version", "parts of the schema are missing", missing, REPAIR)


def sqlite_whole(library: Library, depth: Depth) -> list[Finding]:
    """SQLite finds every index right, which takes long in a large library."""
    if not depth.whole:
        return []
    said = [str(row[0]) for row in library.database.rows("PRAGMA integrity_check")]
    return verdict("SQLite's indexes are right", "faults of SQLite's file", [] if said == ["ok"] else said, REPAIR)


def texts_unchanged(library: Library, depth: Depth) -> list[Finding]:
    """Every text is the one that its document's id was made of."""
    wrong = [identity[:12] for identity in faults.changed_texts(library, depth)]
    good = "every text is the one that was added" if depth.whole else ""
    return verdict(good, "documents whose text was changed", wrong, RESTORE)


def quotes_stand(library: Library, depth: Depth) -> list[Finding]:
    """Every quote that is shown as verified stands in its document, letter for letter."""
    wrong = faults.false_quotes(library, depth)
    return verdict("verified quotes stand in their texts", "runs with quotes that stand nowhere", wrong, RESTORE)


def records_true(library: Library, depth: Depth) -> list[Finding]:
    """Every record holds what its id was made of, and what it quotes stands in its document."""
    wrong = [identity[:12] for identity in faults.false_records(library, depth)]
    return verdict("records are what they were when they were written", "records that were changed", wrong, RESTORE)


def runs_readable(library: Library, depth: Depth) -> list[Finding]:
    """Every run can be shown with all its steps."""
    wrong = faults.unreadable_runs(library, depth)
    return verdict("runs and their steps can be read", "runs that cannot be read", wrong, RESTORE)


def memories_there(library: Library, depth: Depth) -> list[Finding]:
    """Every record that a working memory names is there."""
    wrong = faults.lost_records(library)
    return verdict("working memories hold records that are there", "runs that lost records", wrong, RESTORE)


def vectors_regular(library: Library, depth: Depth) -> list[Finding]:
    """The vectors of a memory are numbered without a gap, and all of one length."""
    wrong = [str(space) for space in faults.broken_tables(library)]
    return verdict("vectors are numbered without gaps", "memories with damaged vectors (spaces)", wrong, REPAIR)


def indexes_true(library: Library, depth: Depth) -> list[Finding]:
    """FAISS files hold the very vectors of the table; where one does not, search finds other passages."""
    missing = missing_indexes(library)  # which the next question makes anew
    wrong = [str(space) for space in faults.stale_indexes(library, depth) if space not in missing]
    return verdict("FAISS files hold the table's vectors", "FAISS indexes of other vectors (spaces)", wrong, REPAIR)


def fulltext_true(library: Library, depth: Depth) -> list[Finding]:
    """The full-text index of every cut holds its passages."""
    wrong = [str(chunking) for chunking in faults.wrong_fulltexts(library, depth)]
    return verdict("full-text indexes hold their passages", "wrong full-text indexes (cuts)", wrong, REPAIR)


def calls_readable(library: Library, depth: Depth) -> list[Finding]:
    """Cached replies can be read."""
    wrong = [key[:12] for key in faults.unreadable_calls(library, depth)]
    return verdict("cached replies can be read", "cached replies that cannot be read", wrong, REPAIR)


def memories_whole(library: Library, depth: Depth) -> list[Finding]:
    """The checksums of compressed memories and kept texts are right; only if everything is read."""
    if not depth.whole or not (library.workspace / "kv").exists():
        return []
    try:
        missing = missing_blocks(library)  # which are told of, and made again when they are needed
        wrong = [key[:12] for key in faults.bad_blocks(library, depth) if key not in missing]
        wrong += [path.name for path in faults.bad_texts(library, depth)]
    except ImportError:
        told = "checksums of compressed memories were not checked: torch is not installed"
        return [Finding(told, "note", "Run: pip install 'rereader[local]'")]
    return verdict("checksums of compressed memories are right", "damaged memories", wrong, REPAIR, "note")


def private(library: Library, depth: Depth) -> list[Finding]:
    """Nobody but the owner may read the files of the workspace."""
    wrong = [str(path.relative_to(library.workspace)) for path in faults.open_files(library)]
    return verdict("files are their owner's alone", "files that others may read", wrong, REPAIR, "warning")


CONTENT_CHECKS: tuple[ContentCheck, ...] = (
    tables_complete,
    sqlite_whole,
    texts_unchanged,
    quotes_stand,
    records_true,
    runs_readable,
    memories_there,
    vectors_regular,
    indexes_true,
    fulltext_true,
    calls_readable,
    memories_whole,
    private,
)


def check_contents(library: Library, depth: Depth, checks: Sequence[ContentCheck] = CONTENT_CHECKS) -> list[Finding]:
    """Everything that the checks find, in order; a damaged file is a finding, not an error."""
    found: list[Finding] = []
    for check in checks:
        try:
            found += check(library, depth)
        except StoreError as error:
            found.append(Finding(f"{check.__name__.replace('_', ' ')}: {error.message}", "problem", error.hint))
    return found
