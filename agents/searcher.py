"""Searching a run's documents: words of passages and cosine over vectors, added up.

Words are put on the cosine's scale as the share of a query's words that a passage holds, rare words counting more; a
word of the question counts in the passages beside it, too. The share's third power goes into the sum, so that a passage
with all of a question's rare words outweighs every cosine, and a chance hit of a word or two next to nothing. On
development data this finds more than a sum of z-scores, and more than BM25's own counts (docs/tables/choices.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rereader.agents.context import RunContext
from rereader.memory.chunks import Chunking, Passage
from rereader.memory.vectors import Space
from rereader.schema import Record, Span
from rereader.tools.ranking import Ranking, add_up
from rereader.tools.words import content_words

DEPTH = 1000
"""Candidates taken from each ranking before fusing."""

POWER = 3
"""Of coverage in the sum with the cosine."""

LEADING_WORDS = 3
"""Words of a quote that the next wave searches for: a name and what it is the name of."""

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
    """What is searched for: ``words`` as such, ``text`` by its vector unless it is empty.

    ``share`` is the trust in it; ``beside`` is what a word counts that stands in a neighbouring passage only.
    """

    words: tuple[str, ...]
    text: str = ""
    share: float = 1.0
    beside: float = 0.0


def asked(question: str, beside: float) -> Query:
    """The question as a query."""
    return Query(tuple(content_words(question)), question, beside=beside)


def hop(quote: str, question: str, share: float, frequency: Callable[[str], int]) -> Query:
    """A quote as a query for what it leads to: its rarest words that the question did not have, names above all.

    The quote's vector would find what says the same again, not what follows from it; and a word that stands nowhere
    else leads nowhere.

    Args:
        quote: The quote's text.
        question: The question.
        share: Trust in the quote, 0 to 1.
        frequency: In how many passages a word stands.
    """
    known = set(content_words(question))
    counts = {word: frequency(word) for word in dict.fromkeys(content_words(quote)) if word not in known}
    leading = sorted((word for word, count in counts.items() if count > 1), key=counts.__getitem__)
    return Query(tuple(leading[:LEADING_WORDS]), share=share)


def queries_of(
    context: RunContext, targets: Sequence[Target], question: str, leads: Sequence[tuple[Record, float]]
) -> list[Query]:
    """The question, then one query for each quote that may lead on."""
    chunkings = {context.documents[target.position].id: target.chunking.id for target in targets}

    def frequency_in(record: Record) -> Callable[[str], int]:
        chunking = chunkings[record.spans[0].document_id]
        return lambda word: context.library.fulltext.frequency(chunking, word)[0]

    hops = [hop(record.content, question, share, frequency_in(record)) for record, share in leads]
    return [asked(question, context.settings.beside), *hops]


def lexical_passages(
    context: RunContext, targets: Sequence[Target], query: Query, within: Collection[PassageKey] | None = None
) -> dict[PassageKey, float]:
    """Share of a query's words that passages hold, to :data:`POWER`; ``within`` names those to look at."""
    found: dict[PassageKey, float] = {}
    for target in targets:
        mine = None if within is None else [identity for position, identity in within if position == target.position]
        pairs = context.library.fulltext.shares(target.chunking.id, query.words, DEPTH, query.beside, mine)
        for identity, share in pairs:
            found[target.position, identity] = share**POWER
    return found


def lexical_chunks(
    context: RunContext, targets: Sequence[Target], query: Query, held: Collection[Span] = ()
) -> dict[ChunkKey, float]:
    """Shares by chunks: that of their best passage, but for passages that are quoted already (``held``)."""
    best: dict[ChunkKey, float] = {}
    passages = lexical_passages(context, targets, query)
    for target in targets:
        identities = [identity for position, identity in passages if position == target.position]
        for identity, passage in context.library.chunks.passages_by_id(target.chunking, identities).items():
            if any(passage.span.contains(span) for span in held):
                continue
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
    context: RunContext,
    targets: Sequence[Target],
    query: Query,
    *,
    ranker: str,
    bm25_weight: float,
) -> list[Scored]:
    """Passages of the documents, best first. ``ranker`` is bm25, embedding or fused."""
    if ranker == "bm25":
        return resolve(context, targets, bm25_passages(context, targets, query))
    vector = context.embed.embed([query.text], kind="query")[0]
    rankings = [Ranking(dense_passages(context, targets, vector))]
    if ranker == "fused":
        rankings.append(Ranking(lexical_passages(context, targets, query), bm25_weight, absent=0.0))
    return resolve(context, targets, add_up(rankings))


def bm25_passages(context: RunContext, targets: Sequence[Target], query: Query) -> dict[PassageKey, float]:
    """BM25 of passages for a query's words, as it is."""
    return {
        (target.position, identity): score
        for target in targets
        for identity, score in context.library.fulltext.search(target.chunking.id, query.words, DEPTH)
    }


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
