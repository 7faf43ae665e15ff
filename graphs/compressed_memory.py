"""Chunks are compressed once; a gate recalls them from the question and the working memory; a reasoner quotes them.

After LycheeMemory (arXiv 2602.08382): question-independent memories, a gate on (memory, question, working memory), a
reasoner that rewrites the working memory for accepted chunks only. Analogue, since it departs from the paper: memories
are text in a FAISS index, not keys and values; all chunks are gated at once instead of one after the other, and again
in the next wave when the working memory has changed; accepted chunks are re-read raw; the working memory is a ledger of
quotes.

``order=scan`` is the published order, and faithful to it but for the form of the memories: one pass over the chunks in
the text's order; the gate sees a chunk's memory, the question and the working memory; for a chunk that it lets in, the
reader writes the working memory anew, as prose of at most 1024 tokens; the answer is written from question and working
memory. Published chunks have 4096 tokens (``chunk_tokens=4096``). ``ahead`` gates several chunks in a batch and comes
to the same decisions. Quotes are found after the fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rereader.agents.answerer import answer
from rereader.agents.chunker import chunk
from rereader.agents.context import ReadingState, Work
from rereader.agents.gate import gate
from rereader.agents.gister import gist
from rereader.agents.indexer import index
from rereader.agents.note_answerer import answer_memory
from rereader.agents.reasoner import reason
from rereader.agents.recaller import recall_in_order
from rereader.agents.settings import Positive, Share, WaveSettings
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class CompressedMemorySettings(WaveSettings):
    """Settings of ``compressed-memory``.

    Args:
        order: ``waves`` gates all chunks at once, wave by wave; ``scan`` is the published order.
        reads: What gate and reader see of a chunk in a scan: its ``gist``, or its text (``raw``).
        ahead: Chunks gated in a batch in a scan; 1 is one by one.
        threshold: A chunk is let in by a scan if the gate is surer than this; 0.5 is how sure it is of an empty one.
        working_tokens: Most tokens of a scan's working memory.
    """

    order: Literal["waves", "scan"] = "waves"
    reads: Literal["gist", "raw"] = "gist"
    ahead: Positive = 16
    threshold: Share = 0.5
    working_tokens: Positive = 1024

    @property
    def honesty(self) -> str:
        """The label of this form of the graph."""
        return "faithful" if self.order == "scan" and self.reads == "gist" else "analogue"


@reading_graph(
    "compressed-memory", system="LycheeMemory 2602.08382", honesty="analogue", settings=CompressedMemorySettings
)
def build(settings: CompressedMemorySettings) -> Graph:
    """Build chunk -> gist -> index -> (gate -> reason) in waves -> answer, or the published order."""
    if settings.order == "scan":
        return _scan(settings)

    def next_wave(state: ReadingState) -> str:
        return "gate" if state["fresh"] and state["wave"] < settings.waves else "answer"

    graph = new_graph(
        [("chunk", chunk), ("gist", gist), ("index", index), ("gate", gate), ("reason", reason), ("answer", answer)]
    )
    connect(graph, "chunk", "gist")
    connect(graph, "gist", "index")
    connect(graph, "index", "gate")
    connect(graph, "gate", "reason")
    connect(graph, "reason", "gate", "answer", choose=next_wave)
    connect(graph, "answer", "finish")
    return graph


def _scan(settings: CompressedMemorySettings) -> Graph:
    """Build chunk -> gist -> recall in the text's order -> answer; what reads raw text needs no gists."""

    def next_chunks(state: ReadingState) -> str:
        return "recall" if state["block"] < state["windows"] else "answer"

    works: list[tuple[str, Work]] = [("chunk", chunk), ("recall", recall_in_order), ("answer", answer_memory)]
    if settings.reads == "gist":
        works.insert(1, ("gist", gist))
    graph = new_graph(works)
    for origin, goal in pairwise(name for name, _ in works[:-1]):
        connect(graph, origin, goal)
    connect(graph, "recall", "recall", "answer", choose=next_chunks)
    connect(graph, "answer", "finish")
    return graph
