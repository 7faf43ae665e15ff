"""The call cache: every finished model call by what decides its reply, so that nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rereader.memory.database import Database
from rereader.models.base import Prompt

_BATCH = 500


def call_key(fingerprint: str, method: str, prompt: Prompt | str, settings: Mapping[str, Any]) -> str:
    """sha256 over the model's fingerprint, the method, the prompt's segments and every setting of the call.

    A segment that is memory counts by the names of its blocks.
    """
    if isinstance(prompt, str):
        body: Any = prompt
    else:
        body = [[one.role, one.trusted, one.text, *(block.name for block in one.memory)] for one in prompt]
    identity = json.dumps([fingerprint, method, body, settings], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(identity.encode()).hexdigest()


class CallCache:
    """Replies by key; each remembers the documents it was made from, so that ``remove`` takes it along."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The replies that are there."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            marks = ",".join("?" * len(part))
            rows = self._database.rows(f"SELECT key, reply FROM calls WHERE key IN ({marks})", part)
            found.update({row["key"]: row["reply"] for row in rows})
        return found

    def put(self, method: str, replies: Mapping[str, bytes], document_ids: Iterable[str]) -> None:
        """Store a batch of replies made from these documents."""
        documents = list(document_ids)
        with self._database.transaction():
            self._database.execute_many(
                "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)",
                [(key, method, reply, time.time()) for key, reply in replies.items()],
            )
            self._database.execute_many(
                "INSERT OR IGNORE INTO call_documents VALUES (?, ?)",
                [(key, document) for key in replies for document in documents],
            )
