"""The call cache: every finished model call by what decides its reply, so that nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.memory.database import Database
from rereader.models.base import Generation, Prompt

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


def pack_generation(generation: Generation) -> bytes:
    """A generation as JSON bytes."""
    return json.dumps(
        {
            "text": generation.text,
            "token_ids": generation.token_ids,
            "finish_reason": generation.finish_reason,
            "prompt_tokens": generation.prompt_tokens,
            "logprobs": generation.logprobs,
            "written": generation.written,
        }
    ).encode()


def unpack_generation(reply: bytes) -> Generation:
    """Inverse of :func:`pack_generation`."""
    fields = json.loads(reply)
    fields["token_ids"] = tuple(fields["token_ids"])
    fields["logprobs"] = tuple(fields["logprobs"])
    return Generation(**fields)


@dataclass(frozen=True)
class TokenScores:
    """A score for each token of each of some texts.

    Args:
        texts: float32 [tokens] of each text.
        read: Tokens that the model read for it.
    """

    texts: tuple[NDArray[np.float32], ...]
    read: int


def pack_scores(scores: TokenScores) -> bytes:
    """Token scores as a line of JSON and little-endian float32."""
    head = json.dumps({"read": scores.read, "counts": [len(text) for text in scores.texts]})
    return head.encode() + b"\n" + pack_floats(np.concatenate([*scores.texts, np.zeros(0, np.float32)]))


def unpack_scores(reply: bytes) -> TokenScores:
    """Inverse of :func:`pack_scores`."""
    line, _, body = reply.partition(b"\n")
    head, values = json.loads(line), unpack_floats(body)
    ends = np.cumsum(head["counts"], dtype=int)
    texts = tuple(values[end - count : end] for count, end in zip(head["counts"], ends, strict=True))
    return TokenScores(texts, head["read"])


def check_reply(method: str, reply: bytes) -> None:
    """Make sure that a stored reply can be read.

    Raises:
        ValueError: If it cannot.
    """
    unpack = {"generate": unpack_generation, "look": unpack_scores}.get(method, unpack_floats)
    try:
        unpack(reply)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no reply of {method}") from error


def pack_floats(values: NDArray[np.float32]) -> bytes:
    """A float32 vector as little-endian bytes."""
    return values.astype("<f4").tobytes()


def unpack_floats(reply: bytes) -> NDArray[np.float32]:
    """Inverse of :func:`pack_floats`."""
    return np.frombuffer(reply, dtype="<f4").astype(np.float32)
