"""The gate ``trained``: how likely a memory is to hold a fact that is still missing.

Either a small head over features of vectors and words that are stored already, for all memories at once, or a scorer
with trained adapters (LoRA, arXiv 2106.09685) that reads the gate's prompt for each memory. Both are calibrated, and
thresholds for a wanted recall are stored with their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rereader.agents.calls import Caller
from rereader.agents.context import RunContext
from rereader.agents.gate_inputs import all_chunks, gate_inputs
from rereader.agents.gates import Asked, known_pieces
from rereader.agents.gates_choose import gate_requests
from rereader.agents.searcher import ChunkKey
from rereader.models.calibration import Calibration, probability
from rereader.models.gatefeatures import features
from rereader.models.gatehead import PROBES, GateHead, read_head, shipped_head

LogOdds = NDArray[np.float64]
_PROMPTS_AT_ONCE = 64


class TrainedScorer(Protocol):
    """A trained gate whatever it is made of."""

    name: str
    calibration: Calibration

    def log_odds(self, asked: Asked, candidates: Sequence[ChunkKey]) -> LogOdds:
        """Log-odds that each candidate holds a missing fact: float64 [candidates]."""


class TrainedGate:
    """Scores by the trained gate that the settings name."""

    def judge(self, asked: Asked, candidates: Sequence[ChunkKey]) -> dict[ChunkKey, float]:
        """Probability that each candidate holds a missing fact.

        Raises:
            InputError: If there is no trained gate for the bound embedder, or it was made with another one.
        """
        values = probability(trained_scorer(asked.context).log_odds(asked, candidates))
        return {key: float(value) for key, value in zip(candidates, values, strict=True)}


def trained_scorer(context: RunContext) -> TrainedScorer:
    """The trained gate of a run: what the setting ``trained_gate`` names, or the one that ships for the embedder.

    Raises:
        InputError: If there is none, or it does not fit the bound models.
        ModelError: If it is damaged.
    """
    named = context.settings.trained_gate
    if named and Path(named).is_dir():
        return LoraScorer(context, Path(named))
    return HeadScorer(context, Path(named) if named else shipped_head(context.models.embedder.name))


class HeadScorer:
    """The head over frozen features."""

    def __init__(self, context: RunContext, path: Path) -> None:
        head: GateHead = read_head(path)
        head.check(context.models.embedder.name, context.embed.embed(list(PROBES)))
        self._head = head
        self.name = path.name
        self.calibration = head.calibration

    def log_odds(self, asked: Asked, candidates: Sequence[ChunkKey]) -> LogOdds:
        """Log-odds of each candidate; features compare it with all memories of the documents."""
        raw = self._head.raw(features(gate_inputs(asked)))
        place = {key: number for number, key in enumerate(all_chunks(asked.targets))}
        return self.calibration.log_odds(raw[[place[key] for key in candidates]])


class LoraScorer:
    """The scorer with trained adapters; its calls are counted and kept like any other's."""

    def __init__(self, context: RunContext, folder: Path) -> None:
        from rereader.models.gatelora import LoraGate, open_lora

        scorer = context.need("scorer").model
        key = f"trained gate {folder.resolve()}"
        if key not in context.live:
            context.live[key] = open_lora(folder, scorer)
        model = cast("LoraGate", context.live[key])
        self.name = folder.name
        self.calibration: Calibration = model.calibration
        self._caller = Caller("scorer", model, context.library.calls, context.log)

    def log_odds(self, asked: Asked, candidates: Sequence[ChunkKey]) -> LogOdds:
        """Log-odds of each candidate, by one prompt each; a kill loses those of one batch."""
        parts = [np.zeros(0)]
        for start in range(0, len(candidates), _PROMPTS_AT_ONCE):
            memories = asked.memories(candidates[start : start + _PROMPTS_AT_ONCE])
            rows = self._caller.choose(gate_requests(asked.question, known_pieces(asked.known), memories), ["A", "B"])
            parts.append(rows[:, 0].astype(np.float64) - rows[:, 1])
        return np.concatenate(parts)
