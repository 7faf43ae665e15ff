"""The retriever: the best passages of the raw text at a word budget, in one pass."""

from __future__ import annotations

from typing import Any

from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import Facts, StageCost, Work, costs
from rereader.agents.indexer import ensure_index
from rereader.agents.ledger import add_quotes, select, slices
from rereader.agents.reranker import rerank, rerank_works
from rereader.agents.searcher import Target, asked, rank_passages

_REMEMBERED = 50
"""Ranks kept in the step's detail."""


def retrieve_cost(settings: Any, facts: Facts) -> StageCost:
    """One search of the documents, and the question's vector unless BM25 works alone."""
    embedded = () if settings.ranker == "bm25" else (Work("embed", "embedder", facts.question_tokens),)
    return StageCost("retrieve", (*embedded, Work("rest", amount=facts.characters), *rerank_works(settings, facts)))


@costs(retrieve_cost)
def retrieve(state: ReadingState, context: RunContext) -> Outcome:
    """Node: rank all passages for the question and quote the best."""
    settings = context.settings
    targets = targets_of(context, None if settings.ranker == "bm25" else settings.memory)
    ranked = rank_passages(
        context,
        targets,
        asked(state["question"], settings.beside),
        ranker=settings.ranker,
        bm25_weight=settings.bm25_weight,
    )
    ranked = rerank(context, state["question"], ranked)
    chosen = select(context, ranked, settings.evidence_words)
    version, scores = add_quotes(state, context, slices(chosen), "retriever")
    considered = [
        [s.target.position, s.passage.span.start, s.passage.span.end, round(s.score, 4)] for s in ranked[:_REMEMBERED]
    ]
    return Outcome({"memory_version": version}, {"scores": scores, "considered": considered})


def targets_of(context: RunContext, memory: str | None) -> list[Target]:
    """The run's documents as search targets; their indexes are made if they are missing, ``None`` asks for none."""
    targets = []
    for position, document in enumerate(context.documents):
        chunking = ensure_chunks(context, document)
        space = ensure_index(context, chunking, memory) if memory else None
        targets.append(Target(position, chunking, space))
    return targets
