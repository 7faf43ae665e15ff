"""A question's attention finds sentences in the text, and the reader is shown them again beside it.

After ReContext (arXiv 2607.02509, and its published code): a frozen model's retrieval heads know which tokens matter;
the sentences of those tokens stand as evidence between the text and the question, round after round.

``preset=paper`` is what was published: 16 heads, the prompt's last 8 tokens as cues with decay 0.75, the 8 best tokens
turned into sentences, tokens of known sentences replaced by the next in rank (once, as the code has it), three rounds,
no header, no calibration.
Where it departs: sentences are those of our splitter and are cut out of the document instead of being decoded; each is
tokenised on its own; template tokens are never candidates; room for the evidence is set aside in the window.

``preset=last-layer`` is a control that secondary sources describe: all heads of the last layer, 128 tokens, evidence
before the text. ``preset=default`` is ours: the question's own tokens look, what an empty question looks at is
subtracted, and a sentence is taken if it stands out.

A text that does not fit the scorer's window is looked at in windows of ``window_tokens``, once, at linear cost; the
answer is then written from the evidence of all windows alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from rereader.agents.chunker import chunk
from rereader.agents.context import ReadingState
from rereader.agents.fixing import fixed_by
from rereader.agents.looker import attend
from rereader.agents.replayer import goes_on, replay
from rereader.agents.settings import Count, Positive, ReadingSettings, Share
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class EvidenceReplaySettings(ReadingSettings):
    """Settings of ``evidence-replay``.

    Args:
        preset: ``default`` (ours), ``paper`` (as published) or ``last-layer`` (a control).
        rounds: Most rounds; 0 is what the preset says, and one for a text that does not fit a window.
        sentences: Sentences to take in a round; 0 is what the preset says, which for ``default`` is those that stand
            out.
        heads: Heads that look, ``LAYER-HEAD`` with spaces between; empty takes the scorer's retrieval heads.
        stand_out: ``default`` takes sentences with this share of the best one's attention.
        fill: Share of the evidence words left that a round of ``default`` fills; the last one fills all.
        window_tokens: Tokens of a window where the text does not fit one.
        keep: Keep what the scorer has read of the text in the workspace, so that another process need not read it
            again: ``exact``, or ``int8`` at a quarter of the size of float32 and a small error. It is large.
    """

    preset: Annotated[Literal["default", "paper", "last-layer"], fixed_by("attend")] = "default"
    rounds: Annotated[Count, fixed_by("attend")] = 0
    sentences: Annotated[Count, fixed_by("attend")] = 0
    heads: Annotated[str, fixed_by("attend")] = ""
    stand_out: Annotated[Share, fixed_by("attend")] = 0.1
    fill: Annotated[Share, fixed_by("attend")] = 0.67
    window_tokens: Annotated[Positive, fixed_by("attend")] = 4096
    keep: Annotated[Literal["no", "exact", "int8"], fixed_by("attend")] = "no"

    @property
    def honesty(self) -> str:
        """The label of the preset."""
        return {"paper": "faithful", "last-layer": "analogue"}.get(self.preset, "ours")


@reading_graph("evidence-replay", system="ReContext 2607.02509", honesty="faithful", settings=EvidenceReplaySettings)
def build(settings: EvidenceReplaySettings) -> Graph:
    """Build chunk -> attend in rounds -> answer."""

    def next_round(state: ReadingState) -> str:
        return "attend" if goes_on(settings, state) else "answer"

    graph = new_graph([("chunk", chunk), ("attend", attend), ("answer", replay)])
    connect(graph, "chunk", "attend")
    connect(graph, "attend", "attend", "answer", choose=next_round)
    connect(graph, "answer", "finish")
    return graph
