"""Passages by BM25 and embedding, added up; the answer is written from the best at a word budget.

The baseline that every reading strategy is compared with. Idea: two rankings that fail in different ways are put on one
scale and added: words as the share of the question's that a passage holds, rare ones counting more, and the cosine.
``ranker`` bm25 and embedding are one of them alone, the first as plain BM25. Words of a neighbouring passage count
``beside``: what a question asks is often said in the sentence after the one that names it. Search works on passages of
about 20 words, so that a word budget buys many places. ``rerank=attention`` puts the best passages in order once more;
cross-encoders cannot be had from a package registry. What else was tried, on development data: docs/tables/choices.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from rereader.agents.answerer import answer
from rereader.agents.chunker import chunk
from rereader.agents.context import Work
from rereader.agents.fixing import fixed_by
from rereader.agents.indexer import index
from rereader.agents.retriever import retrieve
from rereader.agents.settings import RankingSettings, Share
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class RetrievalSettings(RankingSettings):
    """Settings of ``retrieval``.

    Args:
        ranker: Which ranking to use.
        memory: What is embedded; retrieval works on raw passages.
        bm25_weight: Weight of the words, as a power of their share, beside the cosine.
        beside: What a word of the question counts that stands in a neighbouring passage only.
    """

    ranker: Annotated[Literal["fused", "bm25", "embedding"], fixed_by("index", "retrieve")] = "fused"
    memory: Annotated[Literal["raw"], fixed_by("index")] = "raw"
    bm25_weight: Annotated[float, fixed_by("retrieve")] = 1.5
    beside: Annotated[Share, fixed_by("retrieve")] = 0.6


@reading_graph("retrieval", system="BM25 + embedding", honesty="baseline", settings=RetrievalSettings)
def build(settings: RetrievalSettings) -> Graph:
    """Build chunk -> index -> retrieve -> answer; BM25 alone needs no index."""
    works: list[tuple[str, Work]] = [("chunk", chunk), ("index", index), ("retrieve", retrieve), ("answer", answer)]
    if settings.ranker == "bm25":
        del works[1]
    graph = new_graph(works)
    names = [name for name, _ in works] + ["finish"]
    for origin, goal in pairwise(names):
        connect(graph, origin, goal)
    return graph
