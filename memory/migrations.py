"""The schema of ``library.db``, one tuple of statements per version. Released entries never change."""

from __future__ import annotations

_V1 = (
    """CREATE TABLE documents (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, source TEXT NOT NULL, length INTEGER NOT NULL,
        loader TEXT NOT NULL, added_at REAL NOT NULL)""",
    """CREATE TABLE text_blocks (
        document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
        start INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (document_id, start)) WITHOUT ROWID""",
    """CREATE TABLE tombstones (id TEXT PRIMARY KEY, what TEXT NOT NULL, removed_at REAL NOT NULL)""",
    """CREATE TABLE chunkings (
        id INTEGER PRIMARY KEY AUTOINCREMENT, document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
        settings TEXT NOT NULL, chunks INTEGER NOT NULL, tokens INTEGER NOT NULL, UNIQUE (document_id, settings))""",
    """CREATE TABLE chunks (
        chunking INTEGER NOT NULL REFERENCES chunkings(id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
        id TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, tokens INTEGER NOT NULL,
        PRIMARY KEY (chunking, ordinal)) WITHOUT ROWID""",
    """CREATE TABLE passages (
        id INTEGER PRIMARY KEY, chunking INTEGER NOT NULL REFERENCES chunkings(id) ON DELETE CASCADE,
        chunk INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL)""",
    "CREATE INDEX passages_by_chunk ON passages (chunking, chunk)",
    """CREATE TABLE spaces (
        id INTEGER PRIMARY KEY AUTOINCREMENT, chunking INTEGER NOT NULL REFERENCES chunkings(id) ON DELETE CASCADE,
        kind TEXT NOT NULL, embedder TEXT NOT NULL, complete INTEGER NOT NULL DEFAULT 0,
        UNIQUE (chunking, kind, embedder))""",
    """CREATE TABLE vectors (
        space INTEGER NOT NULL REFERENCES spaces(id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
        chunk INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, vector BLOB NOT NULL,
        PRIMARY KEY (space, ordinal)) WITHOUT ROWID""",
    "CREATE INDEX vectors_by_chunk ON vectors (space, chunk)",
    """CREATE TABLE records (
        id TEXT PRIMARY KEY, run_id TEXT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL, parents TEXT NOT NULL,
        step INTEGER NOT NULL, ordinal INTEGER NOT NULL, agent TEXT NOT NULL, prompt_hash TEXT NOT NULL,
        model TEXT NOT NULL)""",
    "CREATE INDEX records_by_run ON records (run_id, step, ordinal)",
    """CREATE TABLE record_spans (
        record_id TEXT NOT NULL REFERENCES records(id) ON DELETE CASCADE, position INTEGER NOT NULL,
        document_id TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
        PRIMARY KEY (record_id, position)) WITHOUT ROWID""",
    "CREATE INDEX record_spans_by_document ON record_spans (document_id, start)",
    """CREATE TABLE gists (
        chunking INTEGER NOT NULL REFERENCES chunkings(id) ON DELETE CASCADE, method TEXT NOT NULL,
        chunk INTEGER NOT NULL, record_id TEXT NOT NULL REFERENCES records(id) ON DELETE CASCADE,
        PRIMARY KEY (chunking, method, chunk)) WITHOUT ROWID""",
    "CREATE INDEX gists_by_record ON gists (record_id)",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, parent TEXT, question TEXT NOT NULL, graph TEXT NOT NULL, settings TEXT NOT NULL,
        models TEXT NOT NULL, budget TEXT NOT NULL, status TEXT NOT NULL, created_at REAL NOT NULL,
        updated_at REAL NOT NULL, usage TEXT NOT NULL, answer TEXT)""",
    """CREATE TABLE run_documents (
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, position INTEGER NOT NULL,
        document_id TEXT NOT NULL, PRIMARY KEY (run_id, position)) WITHOUT ROWID""",
    """CREATE TABLE steps (
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL, node TEXT NOT NULL,
        started_at REAL NOT NULL, seconds REAL NOT NULL, memory_version INTEGER NOT NULL, detail TEXT NOT NULL,
        usage TEXT NOT NULL, PRIMARY KEY (run_id, step)) WITHOUT ROWID""",
    """CREATE TABLE step_calls (
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        role TEXT NOT NULL, method TEXT NOT NULL, template TEXT NOT NULL, slots TEXT NOT NULL,
        prompt_sha256 TEXT NOT NULL, reply TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, cached INTEGER NOT NULL,
        PRIMARY KEY (run_id, step, ordinal)) WITHOUT ROWID""",
    """CREATE TABLE working_memory (
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, version INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        change TEXT NOT NULL, slot TEXT NOT NULL, record_id TEXT NOT NULL,
        PRIMARY KEY (run_id, version, ordinal)) WITHOUT ROWID""",
    """CREATE TABLE calls (
        key TEXT PRIMARY KEY, method TEXT NOT NULL, reply BLOB NOT NULL, created_at REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE call_documents (
        key TEXT NOT NULL REFERENCES calls(key) ON DELETE CASCADE, document_id TEXT NOT NULL,
        PRIMARY KEY (key, document_id)) WITHOUT ROWID""",
    "CREATE INDEX call_documents_by_document ON call_documents (document_id)",
)

_V2 = (
    """CREATE TABLE places (
        document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
        kind TEXT NOT NULL, start INTEGER NOT NULL, label TEXT NOT NULL,
        PRIMARY KEY (document_id, kind, start)) WITHOUT ROWID""",
)

_V3 = (
    """CREATE TABLE step_parts (
        id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL,
        usage TEXT NOT NULL, calls TEXT NOT NULL)""",
    "CREATE INDEX step_parts_by_run ON step_parts (run_id)",
)

# Workspaces of the first days have a _V1 without this index.
_V4 = ("CREATE INDEX IF NOT EXISTS gists_by_record ON gists (record_id)",)

_V5 = (
    """CREATE TABLE kv_sets (
        id INTEGER PRIMARY KEY AUTOINCREMENT, chunking INTEGER NOT NULL REFERENCES chunkings(id) ON DELETE CASCADE,
        model TEXT NOT NULL, fingerprint TEXT NOT NULL, opening TEXT NOT NULL, scorer TEXT NOT NULL,
        ratio REAL NOT NULL, budgets TEXT NOT NULL, precision TEXT NOT NULL,
        UNIQUE (chunking, fingerprint, opening, scorer, ratio, budgets, precision))""",
    """CREATE TABLE kv_blocks (
        kv_set INTEGER NOT NULL REFERENCES kv_sets(id) ON DELETE CASCADE, chunk INTEGER NOT NULL,
        start INTEGER NOT NULL, end INTEGER NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,
        places INTEGER NOT NULL, length INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
        record_id TEXT NOT NULL REFERENCES records(id) ON DELETE CASCADE, used_at REAL NOT NULL,
        PRIMARY KEY (kv_set, chunk)) WITHOUT ROWID""",
    "CREATE INDEX kv_blocks_by_key ON kv_blocks (key)",
    "CREATE INDEX kv_blocks_by_record ON kv_blocks (record_id)",
    "CREATE INDEX kv_blocks_by_use ON kv_blocks (used_at)",
)

_V6 = (
    # A block's file carries its own checksum; a second one of the same bytes is gone.
    """CREATE TABLE kv_blocks_6 (
        kv_set INTEGER NOT NULL REFERENCES kv_sets(id) ON DELETE CASCADE, chunk INTEGER NOT NULL,
        start INTEGER NOT NULL, end INTEGER NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,
        places INTEGER NOT NULL, length INTEGER NOT NULL, bytes INTEGER NOT NULL,
        record_id TEXT NOT NULL REFERENCES records(id) ON DELETE CASCADE, used_at REAL NOT NULL,
        PRIMARY KEY (kv_set, chunk)) WITHOUT ROWID""",
    "INSERT INTO kv_blocks_6 "
    "SELECT kv_set, chunk, start, end, key, digest, places, length, bytes, record_id, used_at FROM kv_blocks",
    "DROP TABLE kv_blocks",
    "ALTER TABLE kv_blocks_6 RENAME TO kv_blocks",
    "CREATE INDEX kv_blocks_by_key ON kv_blocks (key)",
    "CREATE INDEX kv_blocks_by_record ON kv_blocks (record_id)",
    "CREATE INDEX kv_blocks_by_use ON kv_blocks (used_at)",
    "ALTER TABLE runs ADD COLUMN failure TEXT",
    # The step of its parent that a fork goes on from; a follow-up has a parent and none.
    "ALTER TABLE runs ADD COLUMN forked_at INTEGER",
    # What a recursive run holds has a slot of its own; runs that were begun before can be gone on with.
    "UPDATE working_memory SET slot = 'desk' "
    "WHERE slot = 'note' AND run_id IN (SELECT id FROM runs WHERE graph = 'recursive')",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1, _V2, _V3, _V4, _V5, _V6)
