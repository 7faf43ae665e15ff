"""The gate ``likelihood``: how much likelier the scorer finds the question after a memory than after none."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.agents.calls import Request
from rereader.agents.gates import Asked
from rereader.agents.searcher import ChunkKey
from rereader.prompts.loader import load


class LikelihoodGate:
    """Asks the scorer; says nothing where none is bound."""

    def judge(self, asked: Asked, candidates: Sequence[ChunkKey]) -> dict[ChunkKey, float]:
        """Log-likelihood of the question after each memory, less that after an empty one."""
        scorer = asked.context.caller("scorer")
        if scorer is None:
            return {}
        template = load("recall")
        requests = [Request(template, {"memory": [memory]}) for memory in asked.memories(candidates)]
        requests.append(Request(template, {"memory": ""}))
        values = scorer.log_likelihood(requests, [asked.question] * len(requests))
        return {key: float(value - values[-1]) for key, value in zip(candidates, values[:-1], strict=True)}
