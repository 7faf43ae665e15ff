"""Calls of the embedder for short texts: the cache is asked first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from rereader.agents.call_log import CallLog
from rereader.memory.calls import CallCache, call_key
from rereader.memory.replies import pack_floats, unpack_floats
from rereader.models.base import Embedder, TextKind

Storing = Callable[[], AbstractContextManager[None]]


class EmbedCaller:
    """The embedder inside a run, for short texts such as questions; a document's vectors live in its index.

    Args:
        embedder: The embedder.
        cache: Where its vectors are kept.
        log: What is charged.
        storing: What is stored and charged inside is kept together, or not at all.
    """

    def __init__(self, embedder: Embedder, cache: CallCache, log: CallLog, storing: Storing = nullcontext) -> None:
        self.embedder = embedder
        self._cache = cache
        self._log = log
        self._storing = storing

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """Unit vectors, float32 [n, d]; a text longer than the window is embedded by its first window."""
        heads = [text[start:end] for text, (start, end) in zip(texts, self._first_windows(texts), strict=True)]
        settings = {"kind": kind} if kind != "passage" else {}
        keys = [call_key(self.embedder.fingerprint, "embed", head, settings) for head in heads]
        found = self._cache.get(keys)
        missing = {key: head for key, head in zip(keys, heads, strict=True) if key not in found}
        if missing:
            started = time.monotonic()
            with self._log.stopping() as stop:
                vectors = self.embedder.embed(list(missing.values()), stop, kind)
            fresh = {key: pack_floats(vectors[i]) for i, key in enumerate(missing)}
            tokens = sum(self.embedder.count_tokens(list(missing.values())))
            self._log.note("embed", self.embedder.name, started, amount=tokens)
            with self._storing():
                self._cache.put("embed", fresh, self._log.document_ids)
                self._log.usage.embedded_tokens += tokens
            found |= fresh
        return np.stack([unpack_floats(found[key]) for key in keys])

    def _first_windows(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        return [windows[0] if windows else (0, 0) for windows in self.embedder.windows(texts)]
