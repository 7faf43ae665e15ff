"""The retriever: the best passages of the raw text at a word budget, in one pass."""

from __future__ import annotations

from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.indexer import ensure_index
from rereader.agents.ledger import add_quotes, select
from rereader.agents.searcher import Target, rank_passages

_REMEMBERED = 50
"""Ranks kept in the step's detail."""


def retrieve(state: ReadingState, context: RunContext) -> Outcome:
    """Node: rank all passages for the question and quote the best."""
    settings = context.settings
    targets = targets_of(context, settings.memory)
    ranked = rank_passages(
        context,
        targets,
        state["question"],
        ranker=settings.ranker,
        weights=(settings.bm25_weight, settings.dense_weight),
    )
    chosen = select(context, ranked, settings.evidence_words)
    version, scores = add_quotes(state, context, chosen, "retriever")
    considered = [
        [s.target.position, s.passage.span.start, s.passage.span.end, round(s.score, 4)] for s in ranked[:_REMEMBERED]
    ]
    return Outcome({"memory_version": version}, {"scores": scores, "considered": considered})


def targets_of(context: RunContext, memory: str) -> list[Target]:
    """The run's documents as search targets; their indexes are made if they are missing."""
    targets = []
    for position, document in enumerate(context.documents):
        chunking = ensure_chunks(context, document)
        targets.append(Target(position, chunking, ensure_index(context, chunking, memory)))
    return targets
