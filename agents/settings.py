"""Settings that several graphs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rereader.agents.fixing import EVERY_STEP, FIRST_STEP, fixed_by

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
GistMethod = Literal["auto", "extract", "model"]


@dataclass(frozen=True)
class ReadingSettings:
    """How a document is cut, how much evidence is shown, when to decline.

    Args:
        chunk_tokens: Most tokens of a chunk.
        passage_words: Neighbouring sentences of a chunk are joined to passages of about so many words.
        evidence_words: Most words of evidence that an answer is written from.
        bm25_weight: Weight of BM25, as a power of the share of the words that are covered, beside the cosine.
        beside: What a word of the question counts that stands in a neighbouring passage only.
        max_new_tokens: Most tokens of an answer.
        answer: False stops after the evidence is found (used to measure retrieval alone).
        decline_below: Decline when the confidence (0 to 1) is below this.
        null_question: Compare the answer with what it would be worth to an empty question, which tells readings from
            guesses, and costs two more looks at the evidence.
        seed: Seed of every random choice.
    """

    chunk_tokens: Annotated[Positive, FIRST_STEP] = 512
    passage_words: Annotated[Positive, FIRST_STEP] = 20
    evidence_words: Annotated[Positive, EVERY_STEP] = 300
    bm25_weight: Annotated[float, EVERY_STEP] = 1.5
    beside: Annotated[Share, EVERY_STEP] = 0.6
    max_new_tokens: Annotated[Positive, EVERY_STEP] = 48
    answer: Annotated[bool, EVERY_STEP] = True
    decline_below: Annotated[Share, EVERY_STEP] = 0.2
    null_question: Annotated[bool, EVERY_STEP] = False
    seed: Annotated[int, EVERY_STEP] = 0

    @property
    def cut(self) -> str:
        """What identifies a chunking, but for the tokenizer."""
        return f"chunk={self.chunk_tokens};passage={self.passage_words}"


@dataclass(frozen=True)
class RankingSettings(ReadingSettings):
    """How passages are put in order a second time.

    Args:
        rerank: ``attention`` adds what the question looks at among the best passages; needs a scorer whose attention
            can be read.
        rerank_depth: Passages that are looked at.
        rerank_weight: Weight of the attention's z-score beside that of the search.
    """

    rerank: Annotated[Literal["none", "attention"], EVERY_STEP] = "none"
    rerank_depth: Annotated[Positive, EVERY_STEP] = 48
    rerank_weight: Annotated[float, EVERY_STEP] = 1.0


@dataclass(frozen=True)
class WaveSettings(RankingSettings):
    """How chunks are compressed, let in by a gate and quoted from, wave by wave.

    Args:
        gist: How chunks are compressed; ``auto`` extracts on a CPU above 20 thousand tokens and writes otherwise.
        gist_share: Share of a chunk's words that an extracted gist keeps.
        extract: Which sentences an extracted gist keeps.
        memory: What the FAISS index holds: gists, or raw passages (a control).
        recall: ``fused`` adds BM25 to the FAISS search for the question; ``memory`` leaves it out there.
        candidates: Chunks judged by the scorer per wave.
        gate: ``similarity`` lets in by recall alone; ``choose`` (yes or no) and ``likelihood`` (of the question given
            the memory) add the scorer's judgement of each candidate, ``attention`` what the question looks at among
            all candidates in one prompt. On the development needles SmolLM2-135M's judgement made recall no better at a
            hundred times the cost, hence the default. ``trained`` scores every chunk without recall and lets in those
            above the threshold of ``gate_recall``, the likeliest first, until ``accept`` times ``waves`` are read.
        gate_weight: Weight of its z-score beside that of the recall.
        trained_gate: What ``rereader train gate`` wrote: a file, or a folder of adapters for the scorer; the gate that
            ships for the embedder if empty.
        gate_recall: Share of the chunks that hold a missing fact that the trained gate's threshold lets in.
        accept: Most chunks let in per wave.
        waves: Most rounds of gating and reading.
        fill: Share of the evidence words left that a wave fills; the last one fills all.
        seeds: Quotes of the last wave that the next one searches with.
        hop_weight: Weight of those beside the question.
        reasoner: ``score`` quotes by fused score; ``model`` lets the reader move the ones that help to the front.
    """

    gist: Annotated[GistMethod, fixed_by("gist")] = "auto"
    gist_share: Annotated[Share, fixed_by("gist")] = 0.25
    extract: Annotated[Literal["central", "coverage", "informative"], fixed_by("gist")] = "informative"
    memory: Annotated[Literal["gist", "raw"], fixed_by("gist", "index")] = "gist"
    recall: Annotated[Literal["fused", "memory"], EVERY_STEP] = "fused"
    candidates: Annotated[Positive, EVERY_STEP] = 16
    gate: Annotated[Literal["similarity", "choose", "likelihood", "attention", "trained"], EVERY_STEP] = "similarity"
    gate_weight: Annotated[float, EVERY_STEP] = 0.5
    trained_gate: Annotated[str, fixed_by("gate")] = ""
    gate_recall: Annotated[Share, EVERY_STEP] = 0.95
    accept: Annotated[Positive, EVERY_STEP] = 12
    waves: Annotated[Positive, EVERY_STEP] = 3
    fill: Annotated[Share, EVERY_STEP] = 0.67
    seeds: Annotated[Count, EVERY_STEP] = 3
    hop_weight: Annotated[float, EVERY_STEP] = 2.0
    reasoner: Annotated[Literal["score", "model"], EVERY_STEP] = "score"

    def __post_init__(self) -> None:
        """A path means the same from every folder, so that a run can be gone on with anywhere."""
        if self.trained_gate:
            object.__setattr__(self, "trained_gate", absolute(self.trained_gate))

    @property
    def judging(self) -> str:
        """The gate that judges; see ``gate``."""
        return self.gate


def absolute(path: str) -> str:
    """A path that means the same from every folder."""
    return str(Path(path).expanduser().absolute())


@dataclass(frozen=True)
class RecapSettings(ReadingSettings):
    """How a text is condensed without a question.

    Args:
        every: Tokens (the reader's) of a part that is read at once; fewer, and said so, if they do not fit its window.
        recap_tokens: Most tokens of a recap.
        fan: Neighbouring recaps that are merged to one in a tree.
        summary_tokens: Most tokens of an answer about a whole document.
    """

    every: Annotated[Positive, fixed_by("tree", "recap")] = 4096
    recap_tokens: Annotated[Positive, fixed_by("tree", "recap")] = 256
    fan: Annotated[int, Field(ge=2), fixed_by("tree", "recap")] = 2
    summary_tokens: Annotated[Positive, EVERY_STEP] = 512
