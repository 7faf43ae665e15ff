"""Replies of models as bytes, as the call cache keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rereader.models.base import Generation


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
