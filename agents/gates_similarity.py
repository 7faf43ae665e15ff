"""The gate ``similarity``: recall alone decides, by one FAISS search, fused with BM25 unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.agents.gates import Asked
from rereader.agents.searcher import ChunkKey


class SimilarityGate:
    """Adds nothing to the recall."""

    def judge(self, asked: Asked, candidates: Sequence[ChunkKey]) -> dict[ChunkKey, float]:
        """No judgement."""
        return {}
