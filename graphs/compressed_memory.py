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

``reads=kv`` takes the published form of a memory: blocks, the keys and values that a model kept of each chunk, made
once per document and read in place of its text by the model that made them. A scan is then the published system but for
three things, and so an analogue still: the gate is the reader asked for yes or no, not a classifier trained for it;
keys and values are chosen by a rule, unless ``compressor`` names a trained one; and keys are rotated to where they are
read, which the published weights do without. In waves the accepted chunks' blocks are read side by side, which the
paper does not do. ``reads=both`` lets a block decide and reads the text, so that names, dates and numbers survive.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rereader.agents.answerer import answer
from rereader.agents.block_answerer import answer_blocks, read_blocks
from rereader.agents.chunker import chunk
from rereader.agents.compressor import compress, wants_blocks
from rereader.agents.context import ReadingState, Work
from rereader.agents.fixing import EVERY_STEP, FIRST_STEP, fixed_by
from rereader.agents.gate import gate
from rereader.agents.gister import gist
from rereader.agents.indexer import index
from rereader.agents.note_answerer import answer_memory
from rereader.agents.reasoner import reason
from rereader.agents.recaller import recall_in_order
from rereader.agents.settings import Positive, Share, WaveSettings, absolute
from rereader.agents.waves import another_wave
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph
from rereader.models.kvmemory import RULES, Budgets, KVPrecision
from rereader.schema import InputError

_GATES_OF_BLOCKS = ("choose", "attention")
"""Gates that look at blocks; the first one stands in for ``similarity``."""


@dataclass(frozen=True)
class CompressedMemorySettings(WaveSettings):
    """Settings of ``compressed-memory``.

    Args:
        order: ``waves`` gates all chunks at once, wave by wave; ``scan`` is the published order.
        reads: What is read of a chunk. ``kv``: in place of its text a block, the keys and values that the reader kept
            of it. ``both``: the scorer's block decides whether it is let in, its text is read; in waves ``gate`` is
            ``choose`` or ``attention``, and ``similarity``, which looks at no block, stands for ``choose``. Else text
            is judged and read, and in a scan that is the chunk's ``gist`` or all of it (``raw``).
        compressor: What decides which keys and values a block keeps: a rule, or the folder of a trained compressor.
        ratio: Tokens of a chunk for each that its block keeps; 1 keeps all.
        budgets: ``even`` keeps as many in every head of a layer, ``heads`` shares a layer's places out by score.
        precision: How blocks are stored; ``int8`` takes half the disk of ``bfloat16``.
        ahead: Chunks gated in a batch in a scan; 1 is one by one.
        threshold: A chunk is let in by a scan if the gate is surer than this; 0.5 is how sure it is of an empty one.
        working_tokens: Most tokens of a working memory that is written as prose.
    """

    order: Annotated[Literal["waves", "scan"], FIRST_STEP] = "waves"
    reads: Annotated[Literal["gist", "raw", "kv", "both"], FIRST_STEP] = "gist"
    compressor: Annotated[str, fixed_by("compress")] = "expected-attention"
    ratio: Annotated[float, Field(ge=1, le=16), fixed_by("compress")] = 4.0
    budgets: Annotated[Budgets, fixed_by("compress")] = "even"
    precision: Annotated[KVPrecision, fixed_by("compress")] = "bfloat16"
    ahead: Annotated[Positive, fixed_by("recall")] = 16
    threshold: Annotated[Share, EVERY_STEP] = 0.5
    working_tokens: Annotated[Positive, EVERY_STEP] = 1024

    def __post_init__(self) -> None:
        """A block that decides needs a gate that looks at it.

        Raises:
            InputError: If the gate that is asked for looks at no block.
        """
        super().__post_init__()
        if self.compressor not in RULES and Path(self.compressor).expanduser().exists():
            object.__setattr__(self, "compressor", absolute(self.compressor))
        if self._blocks_decide and self.gate not in (*_GATES_OF_BLOCKS, "similarity"):
            wanted = " or ".join(_GATES_OF_BLOCKS)
            raise InputError(f"The gate {self.gate!r} looks at no block.", f"With reads=both, set gate={wanted}.")

    @property
    def judging(self) -> str:
        """The gate that judges; see ``reads``. The usual one stays in the settings, which a follow-up takes over."""
        return _GATES_OF_BLOCKS[0] if self._blocks_decide and self.gate == "similarity" else self.gate

    @property
    def _blocks_decide(self) -> bool:
        return self.reads == "both" and self.order == "waves"

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
        return "gate" if another_wave(settings, state) else "answer"

    last: list[tuple[str, Work]] = [("reason", reason), ("answer", answer)]
    if settings.reads == "kv":
        last = [("read", read_blocks), ("answer", answer_blocks)]
    works = [*_made_once(settings), ("gist", gist), ("index", index), ("gate", gate), *last]
    graph = _chained(works)
    connect(graph, last[0][0], "gate", "answer", choose=next_wave)
    return graph


def _scan(settings: CompressedMemorySettings) -> Graph:
    """Build chunk -> gist -> recall in the text's order -> answer; what reads no gists needs none."""

    def next_chunks(state: ReadingState) -> str:
        return "recall" if state["block"] < state["windows"] else "answer"

    works = _made_once(settings)
    if settings.reads == "gist":
        works.append(("gist", gist))
    graph = _chained([*works, ("recall", recall_in_order), ("answer", answer_memory)])
    connect(graph, "recall", "recall", "answer", choose=next_chunks)
    return graph


def _made_once(settings: CompressedMemorySettings) -> list[tuple[str, Work]]:
    """What is made of a document before any question; blocks come first, so that nothing is made if none can be."""
    return [("chunk", chunk), ("compress", compress)] if wants_blocks(settings) else [("chunk", chunk)]


def _chained(works: list[tuple[str, Work]]) -> Graph:
    """A graph in which each of the works leads to the next, but for the last two, and the last one to the end."""
    graph = new_graph(works)
    for origin, goal in pairwise(name for name, _ in works[:-1]):
        connect(graph, origin, goal)
    connect(graph, works[-1][0], "finish")
    return graph
