"""The gate ``attention``: what the question looks at among all candidates in one prompt, by the retrieval heads."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.agents.block_attention import attention_of_blocks
from rereader.agents.gates import Asked
from rereader.agents.reranker import attention_of
from rereader.agents.searcher import ChunkKey


class AttentionGate:
    """Reads the scorer's attention."""

    def judge(self, asked: Asked, candidates: Sequence[ChunkKey]) -> dict[ChunkKey, float]:
        """Attention mass of each memory, calibrated by an empty question.

        Raises:
            InputError: If there is no scorer, or its attention cannot be read.
        """
        memories = asked.memories(candidates)
        if any(memory.memory for memory in memories):
            blocks = [block for memory in memories for block in memory.memory]
            masses = attention_of_blocks(asked.context, asked.question, blocks)
        else:
            masses = attention_of(asked.context, asked.question, memories)
        return {key: float(mass) for key, mass in zip(candidates, masses, strict=True)}
