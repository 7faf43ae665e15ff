"""Searching a run's documents: BM25 over passages and cosine over vectors, fused by a sum of z-scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rereader.agents.context import RunContext
from rereader.memory.chunks import Chunking, Passage
from rereader.memory.vectors import Space
from rereader.tools.ranking import fuse
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
    space: Space


@dataclass(frozen=True)
class Scored:
    """A passage with its fused score."""

    target: Target
    passage: Passage
    score: float


def lexical_passages(context: RunContext, targets: Sequence[Target], query: str) -> dict[PassageKey, float]:
    """BM25 of passages for a query's content words."""
    words = content_words(query)
    return {
        (target.position, identity): score
        for target in targets
        for identity, score in context.library.fulltext.search(target.chunking.id, words, DEPTH)
    }


def lexical_chunks(context: RunContext, targets: Sequence[Target], query: str) -> dict[ChunkKey, float]:
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
        for hit in context.library.vectors.search(target.space, vector[None, :], DEPTH)[0]:
            key = (target.position, hit.unit.chunk)
            best[key] = max(best.get(key, -np.inf), hit.score)
    return best


def dense_passages(
    context: RunContext, targets: Sequence[Target], vector: NDArray[np.float32]
) -> dict[PassageKey, float]:
    """Cosine of passages through vectors of the raw text: that of their best window."""
    best: dict[PassageKey, float] = {}
    for target in targets:
        hits = context.library.vectors.search(target.space, vector[None, :], DEPTH)[0]
        chunks = sorted({hit.unit.chunk for hit in hits})
        holder = _holder(context.library.chunks.passages_of(target.chunking, chunks))
        for hit in hits:
            key = (target.position, holder(hit.unit.chunk, hit.unit.start))
            best[key] = max(best.get(key, -np.inf), hit.score)
    return best


def rank_passages(
    context: RunContext, targets: Sequence[Target], query: str, *, ranker: str, weights: tuple[float, float]
) -> list[Scored]:
    """Passages of the documents, best first. ``ranker`` is bm25, embedding or fused (by z-score sum)."""
    rankings, used = [], []
    if ranker in ("bm25", "fused"):
        rankings.append(lexical_passages(context, targets, query))
        used.append(weights[0])
    if ranker in ("embedding", "fused"):
        rankings.append(dense_passages(context, targets, context.embed.embed([query])[0]))
        used.append(weights[1])
    return resolve(context, targets, fuse(rankings, used))


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
