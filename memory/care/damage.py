"""A library that SQLite finds damaged: what of it cannot be read any more, in the words of who uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch

from rereader.memory.care.hints import REPAIR_OR_RESTORE, RESTORE
from rereader.memory.library import Library
from rereader.schema import Damaged, Document, StoreError
from rereader.schema.findings import Finding, listed
from rereader.schema.wording import counted

Check = Callable[[], list[Finding]]
_LOST = {
    "documents and their texts": ("documents", "text_blocks", "places"),
    "runs and what they found": (
        *("runs", "run_documents", "steps", "step_calls", "step_parts", "working_memory"),
        *("records", "record_spans", "tombstones"),
    ),
}
"""What is nowhere else, and the tables that it stands in."""
_MADE_AGAIN = {
    "chunks and passages": ("chunkings", "chunks", "passages"),
    "vectors": ("spaces", "vectors"),
    "full-text indexes": ("fulltext_*",),
    "compressed memories": ("gists", "kv_sets", "kv_blocks"),
    "cached replies": ("calls", "call_documents"),
}
_MOST_FAULTS = 100
"""SQLite stops counting there."""
_OWN_CHECK = "fts5"
"""What newer versions of SQLite say of full-text indexes, which are looked at apart and made again."""


def sqlite_faults(library: Library, *, whole: bool = False) -> list[str]:
    """What SQLite finds wrong in the library's file, line by line.

    Args:
        library: The workspace.
        whole: Whether it compares indexes with their tables, too, which takes long in a large library.
    """
    try:
        rows = library.database.rows(f"PRAGMA {'integrity' if whole else 'quick'}_check")
    except Damaged as error:
        return [error.message]
    return told_faults(rows)


def told_faults(rows: Iterable[Sequence[object]]) -> list[str]:
    """What the rows of one of SQLite's checks say is wrong, but for full-text indexes, which are made again."""
    lines = [line for row in rows for line in str(row[0]).splitlines()]
    return [line for line in lines if line != "ok" and not line.startswith("***") and _OWN_CHECK not in line.lower()]


def found_by(library: Library, checks: Iterable[Check]) -> list[Finding]:
    """Everything that checks of a workspace find, in order; what cannot be read is a finding, not an error.

    Where the library is damaged that is told once, and nothing more is looked at: every check would tell of it.
    """
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except Damaged as error:
            return found + tell_damage(library, sqlite_faults(library) or [error.message])
        except StoreError as error:
            found.append(Finding(error.message, "problem", error.hint))
    return list(dict.fromkeys(found))


def tell_damage(library: Library, faults: Sequence[str]) -> list[Finding]:
    """What is damaged, what that means, and what to do: one problem, however many faults SQLite counts.

    Args:
        library: The workspace.
        faults: What SQLite says, line by line.
    """
    broken = [table for table in _tables(library) if not _reads(library, table)]
    lost, again = (_named(kinds, broken) for kinds in (_LOST, _MADE_AGAIN))
    count = f"{'at least ' if len(faults) >= _MOST_FAULTS else ''}{counted(len(faults), 'fault')}"
    what = f"{library.database.path} is damaged: SQLite finds {count} in it (--verbose shows them)"
    found = Finding(what, "problem", RESTORE if broken else REPAIR_OR_RESTORE, tuple(faults))
    said = []
    if lost:
        said = [f"part of this cannot be read, and is lost unless a backup has it: {', '.join(lost)}"]
        said += _unreadable_documents(library)
    if again:
        said.append(f"part of this cannot be read, and can be made again from the texts: {', '.join(again)}")
    if not broken:
        said.append("every row can be read: damaged is an index of SQLite's, or its list of free room")
    return [found, *(Finding(one, "note") for one in (*said, "nothing else in the workspace was looked at"))]


def _tables(library: Library) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    return [row["name"] for row in library.database.rows(query)]


def _reads(library: Library, table: str) -> bool:
    """Whether every value of a table can be read."""
    columns = [row["name"] for row in library.database.rows(f'PRAGMA table_info("{table}")')]
    read = ", ".join(f"COUNT(\"{column}\" || '')" for column in columns)  # SQLite reads a value whole to add to it
    try:
        library.database.rows(f'SELECT {read} FROM "{table}" NOT INDEXED')
    except Damaged:
        return False
    return True


def _named(kinds: Mapping[str, Sequence[str]], tables: Sequence[str]) -> list[str]:
    return [kind for kind, names in kinds.items() if any(fnmatch(table, name) for name in names for table in tables)]


def _unreadable_documents(library: Library) -> list[str]:
    try:
        documents = library.documents.all()
    except StoreError:
        return ["nor can be read which documents are in it"]
    wrong = [document.title for document in documents if not _has_text(library, document)]
    return [f"the text of {counted(len(wrong), 'document')} cannot be read: {listed(wrong)}"] if wrong else []


def _has_text(library: Library, document: Document) -> bool:
    try:
        return len(library.documents.text(document.id)) == document.length
    except StoreError:
        return False
