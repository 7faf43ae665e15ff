"""Quotes with their places are collected in waves until none is new; the answer is written from them alone.

Ours; what we take from others and what we leave: a question is sorted first, so that one place, several places and the
whole text are read in different ways, all of them in batches. Memories of all chunks are searched at once instead of
being carried along (against MemAgent, arXiv 2507.02259, where most of what was found is lost again on the way); chunks
that a wave lets in are re-read raw, so that names, dates and numbers survive (against compressed text and keys alone);
what is read is quoted, never rewritten, and nothing that was quoted is forgotten; the best quotes search for what they
lead to, and chunks turned away are judged again; the answer's claims name their quotes; and declining is the program's
decision from how well question, quotes and answer carry one another. Whole-text questions go through a tree of recaps.
The chain of calls that depend on one another grows with the hops of a question, not with the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from rereader.agents.answerer import answer
from rereader.agents.chunker import chunk
from rereader.agents.context import ReadingState
from rereader.agents.costs import Facts, StageCost
from rereader.agents.finisher import finish
from rereader.agents.fixing import fixed_by
from rereader.agents.gate import gate
from rereader.agents.gister import gist
from rereader.agents.indexer import index
from rereader.agents.node import stage_cost
from rereader.agents.reasoner import reason
from rereader.agents.recap_tree import grow, summarise
from rereader.agents.settings import RecapSettings, WaveSettings
from rereader.agents.sorter import sort
from rereader.agents.waves import another_wave
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class LedgerSettings(WaveSettings, RecapSettings):
    """Settings of ``ledger``.

    Args:
        kind: What the question needs: ``local`` (one place), ``several`` places, the ``whole`` text; ``auto`` asks the
            reader whether it is the whole, and takes it for ``several`` if not.
        memory: What the FAISS index holds: raw passages, which lose nothing, or gists, which are made four times as
            fast.
    """

    kind: Annotated[Literal["auto", "local", "several", "whole"], fixed_by("sort")] = "auto"
    memory: Annotated[Literal["gist", "raw"], fixed_by("gist", "index")] = "raw"


_WAVES = {
    "gist": gist,
    "index": index,
    "gate": gate,
    "reason": reason,
    "answer": answer,
}
_TREE = {"tree": grow, "sum up": summarise}


def foretell(settings: LedgerSettings, facts: Facts) -> list[StageCost]:
    """What the way that a question will take costs; one whose kind is not known is taken to need several places."""
    taken = _TREE if settings.kind == "whole" else _WAVES
    works = {"chunk": chunk, "sort": sort, **_WAVES, **_TREE, "finish": finish}
    spared = {name for name in (*_WAVES, *_TREE) if name not in taken}
    spared |= {"gist"} if settings.memory == "raw" else set()
    return [
        StageCost(name) if name in spared else replace(stage_cost(work, settings, facts), stage=name)
        for name, work in works.items()
    ]


@reading_graph("ledger", system="ours", honesty="ours", settings=LedgerSettings, estimate=foretell)
def build(settings: LedgerSettings) -> Graph:
    """Build chunk -> sort -> gist -> index -> (gate -> reason) in waves -> answer, or sort -> tree -> sum up."""

    def way(state: ReadingState) -> str:
        if state["kind"] == "whole":
            return "tree"
        return "gist" if settings.memory == "gist" else "index"

    def next_wave(state: ReadingState) -> str:
        return "gate" if another_wave(settings, state) else "answer"

    graph = new_graph([("chunk", chunk), ("sort", sort), *_WAVES.items(), *_TREE.items()])
    connect(graph, "chunk", "sort")
    connect(graph, "sort", "gist", "index", "tree", choose=way)
    connect(graph, "gist", "index")
    connect(graph, "index", "gate")
    connect(graph, "gate", "reason")
    connect(graph, "reason", "gate", "answer", choose=next_wave)
    connect(graph, "answer", "finish")
    connect(graph, "tree", "sum up")
    connect(graph, "sum up", "finish")
    return graph
