"""Settings that several graphs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GistMethod = Literal["auto", "extract", "model"]


@dataclass(frozen=True)
class ReadingSettings:
    """How a document is cut, how much evidence is shown, when to decline.

    Args:
        chunk_tokens: Most tokens of a chunk.
        passage_words: Neighbouring sentences of a chunk are joined to passages of about so many words.
        evidence_words: Most words of evidence that an answer is written from.
        max_new_tokens: Most tokens of an answer.
        answer: False stops after the evidence is found (used to measure retrieval alone).
        decline_below: Decline when the confidence (0 to 1) is below this.
        seed: Seed of every random choice.
    """

    chunk_tokens: int = 512
    passage_words: int = 20
    evidence_words: int = 300
    max_new_tokens: int = 48
    answer: bool = True
    decline_below: float = 0.2
    seed: int = 0

    @property
    def cut(self) -> str:
        """What identifies a chunking, but for the tokenizer."""
        return f"chunk={self.chunk_tokens};passage={self.passage_words}"
