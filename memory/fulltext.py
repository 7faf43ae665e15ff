"""BM25 over passages, by SQLite's FTS5 (Porter stems, accents folded).

Every chunking has a table of its own, so that word frequencies are those of one document and removing a document drops
its words with the table.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rereader.memory.database import Database

K1 = 1.2
B = 0.75


class _Size(NamedTuple):
    """How many passages a chunking has, characters of the mean one, and the first one's id; the others' follow it."""

    total: int
    mean: float
    first: int


class FullText:
    """Ranks passages by BM25 as FTS5 computes it (k1 = 1.2, b = 0.75)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sizes: dict[int, _Size] = {}

    def create(self, chunking: int) -> None:
        """Make the empty index of a chunking."""
        self._database.execute(
            f"CREATE VIRTUAL TABLE fulltext_{chunking:d} USING fts5("
            "text, content='', tokenize=\"porter unicode61 remove_diacritics 2\")"
        )

    def add(self, chunking: int, passages: Sequence[tuple[int, str]]) -> None:
        """Index passages given as ``(passage id, text)``."""
        self._database.execute_many(f"INSERT INTO fulltext_{chunking:d} (rowid, text) VALUES (?, ?)", passages)

    def drop(self, chunking: int) -> None:
        """Remove the index of a chunking."""
        self._database.execute(f"DROP TABLE IF EXISTS fulltext_{chunking:d}")
        self._sizes.pop(chunking, None)

    def holds(self, chunking: int, *, whole: bool) -> bool:
        """Whether the index of a chunking has its passages and no others; if ``whole``, SQLite examines it, too.

        Raises:
            StoreError: If there is none, or it is damaged.
        """
        both = ("SELECT id FROM passages WHERE chunking = ?", f"SELECT id FROM fulltext_{chunking:d}_docsize WHERE ?")
        for one, other in (both, both[::-1]):
            if self._database.row(f"{one} EXCEPT {other} LIMIT 1", (chunking, chunking)):
                return False
        if whole:  # an insertion by its form; it writes nothing
            table = f"fulltext_{chunking:d}"
            self._database.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")
        return True

    def search(
        self, chunking: int, words: Sequence[str], limit: int, within: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """Best passages as ``(passage id, score)``, higher is better; any of the words may match.

        ``within`` names the passages to look at; word statistics stay those of the whole document.
        """
        query = " OR ".join(sorted({f'"{word.replace(chr(34), "")}"' for word in words if word.strip()}))
        if not query:
            return []
        table = f"fulltext_{chunking:d}"
        inside = "" if within is None else f" AND rowid IN ({','.join('?' * len(within))})"
        rows = self._database.rows(
            f"SELECT rowid, -bm25({table}) AS score FROM {table} WHERE {table} MATCH ?{inside} "
            "ORDER BY score DESC, rowid LIMIT ?",
            (query, *(within or ()), limit),
        )
        return [(row[0], row[1]) for row in rows]

    def coverage(
        self, chunking: int, words: Sequence[str], limit: int, within: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """Best passages by BM25 with the share of the words that each holds, rare words counting more (about 0 to 1).

        The share is BM25 without its length normalisation, over what a passage with every word once would get. Words
        that no passage holds count as the rarest.
        """
        found = self.search(chunking, words, limit, within)
        if not found:
            return []
        mean = self._size(chunking).mean
        lengths = self._lengths([identity for identity, _ in found])
        ideal = sum(self.rarity(*self.frequency(chunking, word)) for word in sorted(set(words)))
        return [(i, score * (1 + K1 * (1 - B + B * lengths[i] / mean)) / (1 + K1) / ideal) for i, score in found]

    def shares(
        self,
        chunking: int,
        words: Sequence[str],
        limit: int,
        beside: float,
        within: Collection[int] | None = None,
    ) -> list[tuple[int, float]]:
        """Best passages by the share of the words that each holds, rare words counting more (0 to 1), best first.

        A word counts once, however often it stands in a passage, and ``beside`` if it stands in the passage before or
        after only: a sentence is often about what the one before it names. Words that no passage holds count as the
        rarest. ``within`` names the passages to look at; what stands beside them may lie outside.
        """
        import numpy as np  # whoever only looks at a workspace needs no arrays

        total, _, first = self._size(chunking)
        found, ideal = np.zeros(total + 2), 0.0  # with a place before the first passage and one after the last
        for word in sorted(set(words)):
            held = np.array(self._holders(chunking, word), dtype=np.int64) - first + 1
            rarity = self.rarity(len(held), total)
            ideal += rarity
            worth = np.zeros(total + 2)
            worth[held - 1] = worth[held + 1] = beside
            worth[held] = 1.0
            found += rarity * worth
        places = np.flatnonzero(found[1:-1] > 0)
        if within is not None:
            places = places[np.isin(places + first, list(within))]
        values = found[1:-1][places]
        best = np.argsort(-values, kind="stable")[:limit]  # of equals the one that stands first
        return [(int(places[at]) + first, float(values[at]) / ideal) for at in best]

    def _holders(self, chunking: int, word: str) -> list[int]:
        """Ids of the passages that hold a word (any form with its stem)."""
        table = f"fulltext_{chunking:d}"
        query = f'"{word.replace(chr(34), "")}"'
        return [row[0] for row in self._database.rows(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (query,))]

    def _lengths(self, identities: Sequence[int]) -> dict[int, int]:
        """Characters of each named passage."""
        marks = ",".join("?" * len(identities))
        rows = self._database.rows(f"SELECT id, end - start FROM passages WHERE id IN ({marks})", tuple(identities))
        return {row[0]: row[1] for row in rows}

    def _size(self, chunking: int) -> _Size:
        """What a chunking holds. It never changes, and no other gets its id."""
        if chunking not in self._sizes:
            values = "COUNT(*), COALESCE(AVG(end - start), 1.0), COALESCE(MIN(id), 0)"
            [row] = self._database.rows(f"SELECT {values} FROM passages WHERE chunking = ?", (chunking,))
            self._sizes[chunking] = _Size(*row)
        return self._sizes[chunking]

    @staticmethod
    def rarity(held: int, total: int) -> float:
        """The inverse document frequency of FTS5's BM25, which never lets it fall to zero."""
        return max(1e-6, math.log((total - held + 0.5) / (held + 0.5)))

    def holding(self, chunking: int, word: str) -> list[tuple[int, int, int, int]]:
        """Passages that hold a word (any form with its stem), as ``(passage id, chunk ordinal, start, end)``."""
        table = f"fulltext_{chunking:d}"
        query = f'"{word.replace(chr(34), "")}"'
        rows = self._database.rows(
            f"SELECT passages.id, chunk, start, end FROM {table} JOIN passages ON passages.id = {table}.rowid "
            f"WHERE {table} MATCH ?",
            (query,),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def frequency(self, chunking: int, word: str) -> tuple[int, int]:
        """How many passages hold a word (any form with its stem), and how many passages there are."""
        table = f"fulltext_{chunking:d}"
        query = f'"{word.replace(chr(34), "")}"'
        held = self._database.row(f"SELECT COUNT(*) FROM {table} WHERE {table} MATCH ?", (query,))
        return (held[0] if held else 0), self._size(chunking).total
