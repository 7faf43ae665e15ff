"""Searching a run's documents: BM25 over passages and cosine over vectors, fused by a sum of z-scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rereader.agents.context import RunContext
from rereader.memory.chunks import Chunking, Passage
from rereader.memory.vectors import Space
from rereader.tools.ranking import Ranking, fuse
from rereader.tools.words import content_words

DEPTH = 1000
"""Candidates taken from each ranking before fusing."""

ChunkKey = tuple[int, int]
"""``(document position, chunk ordinal)``."""
PassageKey = tuple[int, int]
"""``(document position, passage id)``."""


@dataclass(frozen=True)
class Target:
    """A document of the run as search sees it."""

    position: int
    chunking: Chunking
    space: Space | None = None

    @property
    def vectors(self) -> Space:
        """The vectors to search; a target for BM25 alone has none."""
        assert self.space is not None, "dense search needs an index"
        return self.space


@dataclass(frozen=True)
class Scored:
    """A passage with its fused score."""

    target: Target
    passage: Passage
    score: float


@dataclass(frozen=True)
class Query:
    """What is searched for: ``words`` by BM25, ``text`` by its vector unless it is empty; ``share`` is its trust."""

    words: tuple[str, ...]
    text: str = ""
    share: float = 1.0


def asked(question: str) -> Query:
    """The question as a query."""
    return Query(tuple(content_words(question)), question)


def hop(quote: str, question: str, share: float) -> Query:
    """A quote as a query for what it leads to: the words that the question did not have, names above all.

    The quote's vector would find what says the same again, not what follows from it.
    """
    known = set(content_words(question))
    return Query(tuple(word for word in content_words(quote) if word not in known), share=share)


def lexical_passages(
    context: RunContext, targets: Sequence[Target], query: Query, within: Collection[PassageKey] | None = None
) -> dict[PassageKey, float]:
    """BM25 of passages for a query's words; of the named ones only, if ``within`` names any."""
    found: dict[PassageKey, float] = {}
    for target in targets:
        mine = None if within is None else [identity for position, identity in within if position == target.position]
        for identity, score in context.library.fulltext.search(target.chunking.id, query.words, DEPTH, mine):
            found[target.position, identity] = score
    return found


def lexical_chunks(context: RunContext, targets: Sequence[Target], query: Query) -> dict[ChunkKey, float]:
    """BM25 of chunks: that of their best passage."""
    best: dict[ChunkKey, float] = {}
    passages = lexical_passages(context, targets, query)
    for target in targets:
        identities = [identity for position, identity in passages if position == target.position]
        for identity, passage in context.library.chunks.passages_by_id(target.chunking, identities).items():
            key = (target.position, passage.chunk)
            best[key] = max(best.get(key, -np.inf), passages[target.position, identity])
    return best


def dense_chunks(context: RunContext, targets: Sequence[Target], vector: NDArray[np.float32]) -> dict[ChunkKey, float]:
    """Cosine of chunks: that of the best vector of their memory. ``vector`` is float32 [d]."""
    best: dict[ChunkKey, float] = {}
    for target in targets:
        for hit in context.library.vectors.search(target.vectors, vector[None, :], DEPTH)[0]:
            key = (target.position, hit.unit.chunk)
            best[key] = max(best.get(key, -np.inf), hit.score)
    return best


def dense_passages(
    context: RunContext, targets: Sequence[Target], vector: NDArray[np.float32]
) -> dict[PassageKey, float]:
    """Cosine of passages through vectors of the raw text: that of their best window."""
    best: dict[PassageKey, float] = {}
    for target in targets:
        hits = context.library.vectors.search(target.vectors, vector[None, :], DEPTH)[0]
        chunks = sorted({hit.unit.chunk for hit in hits})
        holder = _holder(context.library.chunks.passages_of(target.chunking, chunks))
        for hit in hits:
            key = (target.position, holder(hit.unit.chunk, hit.unit.start))
            best[key] = max(best.get(key, -np.inf), hit.score)
    return best


def rank_passages(
    context: RunContext, targets: Sequence[Target], query: Query, *, ranker: str, weights: tuple[float, float]
) -> list[Scored]:
    """Passages of the documents, best first. ``ranker`` is bm25, embedding or fused (by z-score sum)."""
    rankings = []
    if ranker in ("bm25", "fused"):
        rankings.append(Ranking(lexical_passages(context, targets, query), weights[0], absent=0.0))
    if ranker in ("embedding", "fused"):
        vector = context.embed.embed([query.text])[0]
        rankings.append(Ranking(dense_passages(context, targets, vector), weights[1]))
    return resolve(context, targets, fuse(rankings))


def resolve(context: RunContext, targets: Sequence[Target], scores: dict[PassageKey, float]) -> list[Scored]:
    """Passages by key with their scores, best first; ties in document order."""
    found: list[Scored] = []
    for target in targets:
        mine = {identity: score for (position, identity), score in scores.items() if position == target.position}
        passages = context.library.chunks.passages_by_id(target.chunking, list(mine))
        found += [Scored(target, passages[identity], score) for identity, score in mine.items()]
    return sorted(found, key=lambda s: (-s.score, s.target.position, s.passage.span.start))


def _holder(passages: Sequence[Passage]) -> Callable[[int, int], int]:
    """A look-up of the passage that holds a character of a chunk."""
    by_chunk: dict[int, list[Passage]] = {}
    for passage in passages:
        by_chunk.setdefault(passage.chunk, []).append(passage)

    def holder(chunk: int, offset: int) -> int:
        return next(p.id for p in by_chunk[chunk] if p.span.start <= offset < p.span.end)

    return holder
