"""What stands behind the setting ``gate``: one interface, and what several of its implementations need.

A gate is given the question, the working memory and candidate memories, and gives each candidate a score. What is let
in is decided by who asks: by rank beside the recall, or above a threshold where the scores are probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rereader.agents.compressor import block_caller, block_pieces, reads_both
from rereader.agents.context import RunContext
from rereader.agents.searcher import ChunkKey, Target
from rereader.prompts.loader import Piece
from rereader.schema import Record
from rereader.tools.words import word_limit

MEMORY_WORDS = 60
"""Words of a memory that a language model is shown."""
KNOWN_WORDS = 60
"""Words of the working memory that a language model is shown beside it."""


@dataclass(frozen=True)
class Asked:
    """What a gate decides from.

    Args:
        context: The run.
        targets: Where its memories are.
        question: The question.
        known: What the working memory holds, the best first.
    """

    context: RunContext
    targets: Sequence[Target]
    question: str
    known: Sequence[Record] = ()

    def memories(self, candidates: Sequence[ChunkKey]) -> list[Piece]:
        """What a language model sees of each candidate: the head of its gist, or with raw vectors of its text.

        Where blocks decide what is let in, it is the candidate's block.
        """
        if reads_both(self.context.settings):
            places = [(self.targets[position].chunking, chunk) for position, chunk in candidates]
            return block_pieces(self.context, block_caller(self.context).role, places)
        return [memory_piece(self.context, self.targets[position], chunk) for position, chunk in candidates]


class Gate(Protocol):
    """Scores candidates; every implementation has a file of its own."""

    def judge(self, asked: Asked, candidates: Sequence[ChunkKey]) -> dict[ChunkKey, float]:
        """The score of each candidate, higher is better; empty where the recall alone decides."""


def memory_piece(context: RunContext, target: Target, chunk: int) -> Piece:
    """The head of a chunk's gist, or with raw vectors of its text."""
    if target.vectors.kind != "raw":
        record = context.library.records.gists(target.chunking, target.vectors.kind, [chunk])[chunk]
        return Piece(word_limit(record.content, MEMORY_WORDS), record=record.id)
    span = context.library.chunks.chunk(target.chunking, chunk).span
    text = word_limit(context.library.documents.text_of(span), MEMORY_WORDS)
    return Piece(text, span=span.model_copy(update={"end": span.start + len(text)}))


def known_pieces(known: Sequence[Record]) -> list[Piece]:
    """The working memory as a line of a prompt; nothing if it is empty."""
    if not known:
        return []
    pieces = [Piece("Known already: ", trusted=True)]
    left = KNOWN_WORDS
    for record in known:
        text = word_limit(record.content, left)
        left -= len(text.split())
        pieces += [Piece(text, record=record.id), Piece(" ", trusted=True)]
    return pieces
