"""The gate ``choose``: the scorer says yes or no of each memory, given the question and the working memory.

Cf. the Gate of LycheeMemory (arXiv 2602.08382), which is trained for it; here any model can be asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from rereader.agents.calls import Caller, Request
from rereader.agents.gates import Asked, known_pieces
from rereader.agents.searcher import ChunkKey
from rereader.models.base import Float32Array
from rereader.prompts.loader import Piece, SlotValue, load

_YES = 0
_END_OF_SHARED = Piece("\n", trusted=True, cacheable=True)


class ChooseGate:
    """Asks the scorer; says nothing where none is bound."""

    def judge(self, asked: Asked, candidates: Sequence[ChunkKey]) -> dict[ChunkKey, float]:
        """Log-probability of yes."""
        scorer = asked.context.caller("scorer")
        if scorer is None:
            return {}
        memories = asked.memories(candidates)
        rows = yes_or_no(scorer, asked.question, known_pieces(asked.known), memories)
        return {key: float(row[_YES]) for key, row in zip(candidates, rows, strict=True)}


def yes_or_no(scorer: Caller, question: str, known: Sequence[Piece], memories: Sequence[Piece]) -> Float32Array:
    """Log-probability that each memory helps, and that it does not, less those of an empty one: float32 [n, 2]."""
    blocks = any(memory.memory for memory in memories)
    empty = gate_request(question, known, "", blocks=blocks)
    return scorer.choose(gate_requests(question, known, memories), ["A", "B"], null=empty)


def gate_requests(question: str, known: Sequence[Piece], memories: Sequence[Piece]) -> list[Request]:
    """The gate's prompt for each memory."""
    return [gate_request(question, known, [memory], blocks=bool(memory.memory)) for memory in memories]


def gate_request(question: str, known: Sequence[Piece], memory: SlotValue, *, blocks: bool = False) -> Request:
    """The gate's prompt for one memory; what comes before it is shared. Blocks come first in theirs."""
    if not blocks:
        return Request(load("gate"), {"memory": memory, "question": question, "known": [*known, _END_OF_SHARED]})
    end = [Piece("\n", trusted=True)] if known else []
    return Request(load("kv_gate"), {"memory": memory, "question": question, "known": [*known, *end]})
