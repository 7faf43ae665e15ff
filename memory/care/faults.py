"""What is wrong in a workspace, found by reading what is in it; ``contents.py`` says it, ``repairs.py`` mends it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from pydantic import ValidationError

from rereader.memory.care.depth import Depth, paced
from rereader.memory.documents import document_id
from rereader.memory.library import Library
from rereader.memory.replies import check_reply
from rereader.models.kvcheck import block_digest_of, check_text
from rereader.models.kvmemory import UnusableBlock
from rereader.schema import Busy, Evidence, Record, StoreError

UNCHECKED = "checksums of compressed memories were not checked: torch is not installed"
_SAMPLE = 2_000
_SAMPLE_RUNS = 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def changed_texts(library: Library, depth: Depth) -> list[str]:
    """Ids of documents whose text is not the one that their id was made of; only if everything is read."""
    if not depth.whole:
        return []
    documents = library.documents.all()
    return [
        document.id
        for document in paced("texts", documents, depth.listen)
        if document_id(library.documents.text(document.id), document.loader) != document.id
    ]


def false_quotes(library: Library, depth: Depth) -> list[str]:
    """Ids of runs whose answer shows a quote as verified that is not the slice of its document."""
    rows = library.database.rows(
        "SELECT id, answer FROM runs WHERE answer IS NOT NULL ORDER BY created_at DESC LIMIT ?", (_limit(depth),)
    )
    return [row["id"] for row in paced("quotes", rows, depth.listen) if not _quotes_stand(library, row["answer"])]


def _quotes_stand(library: Library, answer: str) -> bool:
    try:
        evidence = [Evidence.model_validate(one) for one in json.loads(answer)["evidence"]]
    except (ValueError, KeyError, ValidationError):
        return False
    found = [one for one in evidence if one.verified]
    return all(library.documents.slice(one.document_id, one.start, one.end) == one.quote for one in found)


def false_records(library: Library, depth: Depth) -> list[str]:
    """Ids of records whose content is not what their id was made of, or that quote what their document does not say."""
    rows = library.database.rows("SELECT id FROM records ORDER BY rowid DESC LIMIT ?", (_limit(depth),))
    found = []
    for row in paced("records", rows, depth.listen):
        for record in library.records.find([row["id"]]).values():
            if not (_named_right(record) and _says_what_stands(library, record)):
                found.append(record.id)
    return found


def _named_right(record: Record) -> bool:
    fields = record.model_dump(exclude={"id", "spans"})
    made = Record.create(**fields, spans=record.spans)
    # Until prompts counted, records were named without.
    older = Record.create(**{**fields, "prompt_hash": ""}, spans=record.spans)
    return record.id in (made.id, older.id)


def _says_what_stands(library: Library, record: Record) -> bool:
    if record.kind.value != "quote" or len(record.spans) != 1:
        return True
    return library.documents.text_of(record.spans[0]) == record.content


def broken_tables(library: Library) -> list[int]:
    """Spaces whose vectors have gaps or different lengths: their files cannot be made from them."""
    rows = library.database.rows(
        "SELECT space FROM vectors GROUP BY space HAVING MIN(ordinal) != 0 OR MAX(ordinal) != COUNT(*) - 1 "
        "OR MIN(LENGTH(vector)) != MAX(LENGTH(vector)) OR MIN(LENGTH(vector)) % 4 != 0"
    )
    return [row["space"] for row in rows]


def stale_indexes(library: Library, depth: Depth) -> list[int]:
    """Complete spaces whose FAISS files do not hold what the table holds."""
    rows = library.database.rows("SELECT id FROM spaces WHERE complete ORDER BY id")
    broken = set(broken_tables(library))
    spaces = [row["id"] for row in rows if row["id"] not in broken]
    told = paced("indexes", spaces, depth.listen)
    return [space for space in told if not library.vectors.files_hold(space, whole=depth.whole)]


def wrong_fulltexts(library: Library, depth: Depth) -> list[int]:
    """Cuts whose full-text index is missing, damaged, or has other passages than theirs."""
    rows = library.database.rows("SELECT id FROM chunkings ORDER BY id")
    return [row["id"] for row in paced("full text", rows, depth.listen) if not _searchable(library, row["id"], depth)]


def _searchable(library: Library, chunking: int, depth: Depth) -> bool:
    try:
        return library.fulltext.holds(chunking, whole=depth.whole)
    except Busy:
        raise
    except StoreError:  # it is damaged, or not there
        return False


def unreadable_calls(library: Library, depth: Depth) -> list[str]:
    """Keys of cached replies that cannot be read."""
    rows = library.database.rows("SELECT key FROM calls ORDER BY created_at DESC LIMIT ?", (_limit(depth),))
    return [row["key"] for row in paced("cached replies", rows, depth.listen) if not _readable(library, row["key"])]


def _readable(library: Library, key: str) -> bool:
    row = library.database.row("SELECT method, reply FROM calls WHERE key = ?", (key,))
    try:
        if row is not None:
            check_reply(row["method"], row["reply"])
    except ValueError:
        return False
    return True


def bad_blocks(library: Library, depth: Depth) -> list[str]:
    """Keys of compressed memories whose file is missing or damaged.

    Raises:
        ImportError: If everything is read and torch, which blocks are made with, is not installed.
    """
    rows = library.database.rows("SELECT key, MAX(bytes) AS bytes, MAX(digest) AS digest FROM kv_blocks GROUP BY key")
    files = library.bank.files
    return [
        row["key"]
        for row in paced("compressed memories", rows, depth.listen)
        if not files.looks_whole(row["key"], row["bytes"])
        or (depth.whole and _digest(files.path(row["key"])) != row["digest"])
    ]


def _digest(path: Path) -> str:
    try:
        return block_digest_of(path)
    except (UnusableBlock, OSError):
        return ""


def bad_texts(library: Library, depth: Depth) -> list[Path]:
    """Files of kept texts that are damaged; only if everything is read.

    Raises:
        ImportError: If torch, which they are made with, is not installed.
    """
    files = library.kept_texts() if depth.whole else []
    return [path for path in paced("kept texts", files, depth.listen) if not _is_text(path)]


def _is_text(path: Path) -> bool:
    try:
        check_text(path)
    except FileNotFoundError:  # gone meanwhile
        return True
    except (UnusableBlock, OSError):
        return False
    return True


def lost_records(library: Library) -> list[str]:
    """Ids of runs whose working memory names records that are not there."""
    rows = library.database.rows(
        "SELECT DISTINCT working_memory.run_id FROM working_memory LEFT JOIN records ON records.id = record_id "
        "WHERE records.id IS NULL"
    )
    return [row[0] for row in rows]


def unreadable_runs(library: Library, depth: Depth) -> list[str]:
    """Ids of runs that cannot be shown: their row, or that of a step, cannot be read."""
    rows = library.database.rows("SELECT id FROM runs ORDER BY created_at DESC LIMIT ?", (_limit(depth, _SAMPLE_RUNS),))
    return [row["id"] for row in paced("runs", rows, depth.listen) if not _shows(library, row["id"])]


def _shows(library: Library, run_id: str) -> bool:
    try:
        library.runs.get(run_id)
        library.runs.steps(run_id)
    except (ValueError, KeyError, TypeError, IndexError):
        return False
    return True


def open_files(library: Library) -> list[Path]:
    """Files that others than their owner may read or write."""
    return sorted(path for path in library.workspace.rglob("*") if path.is_file() and _is_open(path))


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:  # gone meanwhile
        return False


def _limit(depth: Depth, sample: int = _SAMPLE) -> int:
    return -1 if depth.whole else sample
