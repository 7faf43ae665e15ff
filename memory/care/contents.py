"""Checks of what is in a workspace, not only of how much: a sample of it, or every byte."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rereader.memory.care import faults
from rereader.memory.care.damage import Check, found_by, sqlite_faults
from rereader.memory.care.depth import Depth
from rereader.memory.care.hints import REPAIR, REPAIR_OR_RESTORE, RESTORE
from rereader.memory.care.shape import missing_parts
from rereader.memory.invariants import missing_blocks, missing_indexes
from rereader.memory.library import Library
from rereader.schema.findings import Finding, verdict
from rereader.schema.wording import counted, short

ContentCheck = Callable[[Library, Depth], list[Finding]]


def tables_complete(library: Library, depth: Depth) -> list[Finding]:
    """Every table, column and index of this version is there."""
    missing = [what for what, _ in missing_parts(library.database)]
    bad = ("part of the schema is missing", "parts of the schema are missing")
    return verdict("tables and indexes are those of this version", bad, missing, REPAIR)


def sqlite_whole(library: Library, depth: Depth) -> list[Finding]:
    """SQLite finds every index right, which takes long in a large library."""
    if not depth.whole:
        return []
    said = sqlite_faults(library, whole=True)
    if not said:
        return [Finding("SQLite's indexes are right")]
    what = f"SQLite finds {counted(len(said), 'fault')} in its indexes (--verbose shows them)"
    return [Finding(what, "problem", REPAIR_OR_RESTORE, tuple(said))]


def texts_unchanged(library: Library, depth: Depth) -> list[Finding]:
    """Every text is the one that its document's id was made of."""
    wrong = [short(identity) for identity in faults.changed_texts(library, depth)]
    good = "every text is the one that was added" if depth.whole else ""
    bad = ("document whose text was changed", "documents whose text was changed")
    return verdict(good, bad, wrong, RESTORE)


def quotes_stand(library: Library, depth: Depth) -> list[Finding]:
    """Every quote that is shown as verified stands in its document, letter for letter."""
    wrong = faults.false_quotes(library, depth)
    bad = ("run with quotes that stand nowhere", "runs with quotes that stand nowhere")
    return verdict("verified quotes stand in their texts", bad, wrong, RESTORE)


def records_true(library: Library, depth: Depth) -> list[Finding]:
    """Every record holds what its id was made of, and what it quotes stands in its document."""
    wrong = [short(identity) for identity in faults.false_records(library, depth)]
    bad = ("record that was changed", "records that were changed")
    return verdict("records are what they were when they were written", bad, wrong, RESTORE)


def runs_readable(library: Library, depth: Depth) -> list[Finding]:
    """Every run can be shown with all its steps."""
    wrong = faults.unreadable_runs(library, depth)
    bad = ("run that cannot be read", "runs that cannot be read")
    return verdict("runs and their steps can be read", bad, wrong, RESTORE)


def memories_there(library: Library, depth: Depth) -> list[Finding]:
    """Every record that a working memory names is there."""
    wrong = faults.lost_records(library)
    bad = ("run that lost records", "runs that lost records")
    return verdict("working memories hold records that are there", bad, wrong, RESTORE)


def vectors_regular(library: Library, depth: Depth) -> list[Finding]:
    """The vectors of a memory are numbered without a gap, and all of one length."""
    wrong = [str(space) for space in faults.broken_tables(library)]
    bad = ("memory with damaged vectors (space)", "memories with damaged vectors (spaces)")
    return verdict("vectors are numbered without gaps", bad, wrong, REPAIR)


def indexes_true(library: Library, depth: Depth) -> list[Finding]:
    """FAISS files hold the very vectors of the table; where one does not, search finds other passages."""
    missing = missing_indexes(library)  # which the next question makes anew
    wrong = [str(space) for space in faults.stale_indexes(library, depth) if space not in missing]
    bad = ("FAISS index of other vectors (space)", "FAISS indexes of other vectors (spaces)")
    return verdict("FAISS files hold the table's vectors", bad, wrong, REPAIR)


def fulltext_true(library: Library, depth: Depth) -> list[Finding]:
    """The full-text index of every cut holds its passages."""
    wrong = [str(chunking) for chunking in faults.wrong_fulltexts(library, depth)]
    bad = ("wrong full-text index (cut)", "wrong full-text indexes (cuts)")
    return verdict("full-text indexes hold their passages", bad, wrong, REPAIR)


def calls_readable(library: Library, depth: Depth) -> list[Finding]:
    """Cached replies can be read."""
    wrong = [short(key) for key in faults.unreadable_calls(library, depth)]
    bad = ("cached reply that cannot be read", "cached replies that cannot be read")
    return verdict("cached replies can be read", bad, wrong, REPAIR)


def memories_whole(library: Library, depth: Depth) -> list[Finding]:
    """The checksums of compressed memories and kept texts are right; only if everything is read."""
    if not depth.whole or not (library.workspace / "kv").exists():
        return []
    try:
        missing = missing_blocks(library)  # which are told of, and made again when they are needed
        wrong = [short(key) for key in faults.bad_blocks(library, depth) if key not in missing]
        wrong += [path.name for path in faults.bad_texts(library, depth)]
    except ImportError:
        return [Finding(faults.UNCHECKED, "note", "Run: pip install 'rereader[local]'")]
    bad = ("damaged memory", "damaged memories")
    return verdict("checksums of compressed memories are right", bad, wrong, REPAIR, "note")


def private(library: Library, depth: Depth) -> list[Finding]:
    """Nobody but the owner may read the files of the workspace."""
    wrong = [str(path.relative_to(library.workspace)) for path in faults.open_files(library)]
    bad = ("file that others may read", "files that others may read")
    return verdict("files are their owner's alone", bad, wrong, REPAIR, "warning")


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


def content_checks(library: Library, depth: Depth) -> list[Check]:
    """The checks of what is in a workspace."""
    return [partial(check, library, depth) for check in CONTENT_CHECKS]


def check_contents(library: Library, depth: Depth) -> list[Finding]:
    """What they find; see :func:`rereader.memory.care.damage.found_by`."""
    return found_by(library, content_checks(library, depth))
