"""BM25 over a handful of texts, by FTS5 as in the library."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class Words:
    """An index in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.total = len(texts)
        self._table = sqlite3.connect(":memory:")
        self._table.execute(
            "CREATE VIRTUAL TABLE f USING fts5(t, content='', tokenize=\"porter unicode61 remove_diacritics 2\")"
        )
        self._table.executemany("INSERT INTO f (rowid, t) VALUES (?, ?)", enumerate(texts))

    def bm25(self, words: Iterable[str]) -> NDArray[np.float64]:
        """Score of every text for some words: float64 [texts]."""
        scores = np.zeros(self.total)
        query = " OR ".join(sorted({f'"{word}"' for word in words}))
        for i, value in self._table.execute("SELECT rowid, -bm25(f) FROM f WHERE f MATCH ?", (query,)) if query else ():
            scores[i] = value
        return scores

    def holding(self, word: str) -> int:
        """Number of texts that hold a word."""
        found: int = self._table.execute("SELECT COUNT(*) FROM f WHERE f MATCH ?", (f'"{word}"',)).fetchone()[0]
        return found
