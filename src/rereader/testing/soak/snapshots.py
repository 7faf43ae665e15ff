"""What a workspace holds: what must still be there after a kill, and what must be the same as without one."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.memory.replies import pack_floats, unpack_scores

_APPENDED = {
    "documents": "id",
    "text_blocks": "document_id || ':' || start",
    "chunkings": "id",
    "chunks": "chunking || ':' || ordinal",
    "passages": "id",
    "vectors": "space || ':' || ordinal",
    "records": "id",
    "record_spans": "record_id || ':' || position",
    "gists": "chunking || ':' || method || ':' || chunk",
    "working_memory": "run_id || ':' || version || ':' || ordinal",
    "calls": "key",
}
"""Tables that rows are only added to, with what tells a row from the others."""
_PRESENT = {
    "steps": "run_id || ':' || step",
    "kv_blocks": "kv_set || ':' || key",
    "runs": "CASE WHEN answer IS NULL THEN id ELSE id || ':' || answer END",
}
"""Tables whose rows stay and may change: a step that was not noted as done runs again, a run is answered."""
_UNLIKE = {
    "run_id",
    "seconds",
    "peak_host_bytes",
    "peak_device_bytes",
    "record",
    "cached_calls",
    "cached_tokens",
    "warnings",
}
"""Parts of an answer that no two runs share, or that tell how often one was killed: warnings say what is left to do."""
Rows = dict[str, str]


@contextmanager
def opened_copy(workspace: Path) -> Iterator[Library]:
    """A copy of a workspace as it lies there, so that looking at it mends nothing."""
    with tempfile.TemporaryDirectory(prefix="rereader-soak-") as folder:
        copy = Path(folder) / "workspace"
        shutil.copytree(workspace, copy)
        with Library(copy) as library:
            yield library


def kept(library: Library) -> Rows:
    """Everything that must outlive a kill: what names a row, and a checksum of what must not change in it."""
    found: Rows = {}
    for table, name in _APPENDED.items():
        for row in library.database.rows(f"SELECT {name} AS called, * FROM {table}"):
            found[f"{table} {row['called']}"] = hashlib.sha256(repr(tuple(row)).encode()).hexdigest()
    for table, name in _PRESENT.items():
        found |= {f"{table} {row[0]}": "" for row in library.database.rows(f"SELECT {name} FROM {table}")}
    return found


def lost(before: Rows, after: Rows) -> list[str]:
    """Rows that are gone or changed; a run that has been answered since is neither."""
    return [
        name
        for name, checksum in before.items()
        if after.get(name) != checksum and not any(other.startswith(f"{name}:") for other in _runs(after))
    ]


def problems(library: Library) -> list[str]:
    """What is wrong with a workspace."""
    return [finding.what for finding in check_library(library) if finding.state == "problem"]


def calls(library: Library) -> dict[str, str]:
    """The stored calls of language models: key -> checksum of the reply."""
    rows = library.database.rows("SELECT key, method, reply FROM calls WHERE method != 'embed'")
    return {row["key"]: hashlib.sha256(_said(row["method"], row["reply"])).hexdigest() for row in rows}


def outcome(library: Library, *, rereads: bool = False) -> dict[str, Any]:
    """What two workspaces in which the same was done have in common, however often one was killed.

    Args:
        library: A workspace.
        rereads: Whether a text is read, and charged, again by a process that has not got it in memory.
    """
    # 'bench' asks anew what a kill cut off, also where only the row was not written yet.
    answered = [run for run in library.runs.all() if run.answer]
    runs = sorted(answered, key=lambda run: (run.question, run.graph))
    return {
        "documents": _plain(library, "SELECT id, length FROM documents ORDER BY id"),
        "gists": _plain(library, "SELECT content, agent, model FROM records WHERE kind = 'gist' ORDER BY content"),
        "vectors": _plain(library, "SELECT ordinal, chunk, start, end, hex(vector) FROM vectors ORDER BY ordinal"),
        "calls": calls(library),
        "runs": list({json.dumps(told): told for run in runs for told in [_run(library, run.id, rereads)]}.values()),
    }


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The parts in which two outcomes differ."""
    return [name for name in one if one[name] != other[name]]


def _said(method: str, reply: bytes) -> bytes:
    """A reply without how much was read for it: a process that goes on has to read again what the other had in mind."""
    if method != "look":
        return reply
    scores = unpack_scores(reply)
    return b" ".join(pack_floats(text) for text in scores.texts)


def _runs(rows: Rows) -> list[str]:
    return [name for name in rows if name.startswith("runs ")]


def _run(library: Library, run_id: str, rereads: bool) -> dict[str, Any]:
    answer = library.runs.get(run_id).answer
    unlike = _UNLIKE | ({"prompt_tokens"} if rereads else set())
    steps = library.runs.steps(run_id)
    return {
        "answer": _common(answer.model_dump(mode="json"), unlike) if answer else None,
        "memory": _plain(
            library,
            "SELECT version, working_memory.ordinal, change, slot, kind, content, agent, model FROM working_memory "
            f"JOIN records ON id = record_id WHERE working_memory.run_id = '{run_id}' "
            "ORDER BY version, working_memory.ordinal",
        ),
        "steps": [
            [step.number, step.node, step.memory_version, step.usage.calls, 0 if rereads else step.usage.total_tokens]
            for step in steps
        ],
        "prompts": [[call.prompt_sha256, call.reply] for step in steps for call in step.calls],
    }


def _common(value: Any, unlike: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _common(held, unlike) for name, held in value.items() if name not in unlike}
    return [_common(held, unlike) for held in value] if isinstance(value, list) else value


def _plain(library: Library, query: str) -> list[str]:
    return [json.dumps(list(row)) for row in library.database.rows(query)]
