"""A fixed memory is overwritten block after block, and the answer is written from the memory alone.

After MemAgent (arXiv 2507.02259, and its published code): the text is cut into blocks of 5000 of the model's tokens,
wherever that falls; each is read in a fresh call that sees problem, memory and block, in this order; the whole reply,
at most 1024 tokens, is the new memory; the answer is written from problem and memory. Every overwritten version stays
a record. Where it departs: our own wording of the prompts; greedy by default (the published evaluation samples at
temperature 0.7 and top-p 0.95; ``temperature`` is a setting, top-p is none); an answer of one line like all our graphs
write; and quotes that are found after the fact, since the memory has none. The published figures are those of models
trained for this by reinforcement learning; with others expect half of them.

What was published to improve on it comes as settings that can be switched on one by one: ``skip_writes`` and
``early_exit`` (GRU-Mem, arXiv 2602.10560; without its training), ``memories`` (MHM-LRU, arXiv 2607.01523: parts of the
memory, of which the one that was rewritten longest ago is rewritten), ``recall`` (ReMemR1, arXiv 2509.23040: the model
may ask for one of its overwritten memories, found here by BM25; the one being written is never among them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from rereader.agents.chunker import chunk
from rereader.agents.context import ReadingState
from rereader.agents.fixing import EVERY_STEP, fixed_by
from rereader.agents.note_answerer import answer_memory
from rereader.agents.rememberer import remember
from rereader.agents.settings import Positive, ReadingSettings
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class MemoryAgentSettings(ReadingSettings):
    """Settings of ``memory-agent``.

    Args:
        block_tokens: Tokens of a block; fewer, and said so, if they do not fit the reader's window beside the memory.
        memory_tokens: Most tokens of the memory, or of a part of it.
        temperature: Of writing the memory; 0 is greedy.
        skip_writes: The reply says whether the block helps; if not, the memory stays as it is.
        early_exit: The reply says whether the memory is enough; if so, the rest of the text is not read.
        memories: Parts of the memory.
        recall: The reply may ask for an overwritten memory, which the next call is shown.
    """

    block_tokens: Annotated[Positive, fixed_by("read")] = 5000
    memory_tokens: Annotated[Positive, fixed_by("read")] = 1024
    temperature: Annotated[float, Field(ge=0), EVERY_STEP] = 0.0
    skip_writes: Annotated[bool, EVERY_STEP] = False
    early_exit: Annotated[bool, EVERY_STEP] = False
    memories: Annotated[int, Field(ge=1, le=16), fixed_by("read")] = 1
    recall: Annotated[bool, EVERY_STEP] = False

    @property
    def honesty(self) -> str:
        """The label: what was published to improve on it is reproduced without its training."""
        plain = not (self.skip_writes or self.early_exit or self.recall) and self.memories == 1
        return "faithful" if plain else "analogue"


@reading_graph("memory-agent", system="MemAgent 2507.02259", honesty="faithful", settings=MemoryAgentSettings)
def build(settings: MemoryAgentSettings) -> Graph:
    """Build chunk -> read, block after block -> answer."""

    def next_block(state: ReadingState) -> str:
        return "read" if state["block"] < state["windows"] else "answer"

    graph = new_graph([("chunk", chunk), ("read", remember), ("answer", answer_memory)])
    connect(graph, "chunk", "read")
    connect(graph, "read", "read", "answer", choose=next_block)
    connect(graph, "answer", "finish")
    return graph
