"""Settings that several graphs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

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
        max_new_tokens: Most tokens of an answer.
        answer: False stops after the evidence is found (used to measure retrieval alone).
        decline_below: Decline when the confidence (0 to 1) is below this.
        seed: Seed of every random choice.
    """

    chunk_tokens: Positive = 512
    passage_words: Positive = 20
    evidence_words: Positive = 300
    bm25_weight: float = 1.5
    max_new_tokens: Positive = 48
    answer: bool = True
    decline_below: Share = 0.2
    seed: int = 0

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

    rerank: Literal["none", "attention"] = "none"
    rerank_depth: Positive = 48
    rerank_weight: float = 1.0
