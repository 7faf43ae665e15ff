"""The whole text in one prompt, its middle left out when it does not fit; or no text at all, as a control.

The simplest thing that could work, and the control for everything else: ``context=none`` measures what the reader knows
without the document. Truncation keeps head and tail halves, as LongBench does, and is said in the answer's warnings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from rereader.agents.chunker import chunk
from rereader.agents.fixing import fixed_by
from rereader.agents.settings import Count, ReadingSettings
from rereader.agents.whole_text import read_all
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class FullContextSettings(ReadingSettings):
    """Settings of ``full-context``.

    Args:
        context: ``text`` shows the documents; ``none`` shows nothing but the question.
        window_tokens: Most tokens of the prompt; 0 uses the reader's whole window.
    """

    context: Annotated[Literal["text", "none"], fixed_by("read")] = "text"
    window_tokens: Annotated[Count, fixed_by("read")] = 0


@reading_graph("full-context", system="whole text in one prompt", honesty="baseline", settings=FullContextSettings)
def build(settings: FullContextSettings) -> Graph:
    """Build chunk -> read -> finish."""
    graph = new_graph([("chunk", chunk), ("read", read_all)])
    connect(graph, "chunk", "read")
    connect(graph, "read", "finish")
    return graph
