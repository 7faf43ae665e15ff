"""Waves of a gate whose scores are probabilities: what lies above a threshold is let in, the rest may be later.

All chunks are gated at once with what is known, as if none of them changed what is known. After something was written
only those near the threshold are gated again, since the others would not change sides; what was turned away is looked
at in every wave until nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rereader.agents.context import RunContext
from rereader.agents.gate_inputs import all_chunks
from rereader.agents.gates import Asked
from rereader.agents.gates_trained import trained_scorer
from rereader.agents.searcher import ChunkKey
from rereader.memory.runs import Step
from rereader.models.calibration import probability


@dataclass(frozen=True)
class Standing:
    """What earlier waves of a run came to.

    Args:
        scores: Log-odds of every chunk when it was gated last.
        let_in: Chunks that were let in.
    """

    scores: Mapping[ChunkKey, float] = field(default_factory=dict)
    let_in: frozenset[ChunkKey] = frozenset()


def let_in(asked: Asked) -> tuple[list[ChunkKey], dict[str, Any]]:
    """Chunks to let in now, the likeliest first, and what the step remembers of it.

    At most ``accept`` are let in; what lies above the threshold besides is ``waiting`` for the next wave. If nothing
    does in the first one, the likeliest is let in, so that an answer is declined for what was read and not unread.
    """
    settings = asked.context.settings
    scorer = trained_scorer(asked.context)
    threshold = scorer.calibration.threshold(settings.gate_recall)
    before = standing(asked.context)
    waiting = [key for key in all_chunks(asked.targets) if key not in before.let_in]
    gated = [key for key in waiting if _is_near(before, key, threshold, scorer.calibration.margin)]
    fresh = dict(zip(gated, scorer.log_odds(asked, gated).tolist(), strict=True)) if gated else {}
    scores = {**before.scores, **fresh}
    ranked = sorted(waiting, key=lambda key: (-scores[key], key))
    passing = [key for key in ranked if scores[key] >= threshold]
    accepted = passing[: settings.accept]
    if not before.scores and not accepted:
        accepted = ranked[:1]
    considered = [key for key in ranked if key in fresh or key in accepted]
    values = [scores[key] for key in considered]
    rows = zip(considered, probability(np.array(values)).tolist(), strict=True)
    return accepted, {
        "decisions": [[*key, None, round(value, 4), key in accepted] for key, value in rows],
        "log_odds": [round(value, 4) for value in values],
        "threshold": round(threshold, 4),
        "waiting": len(passing[settings.accept :]),
        "trained_gate": scorer.name,
    }


def standing(context: RunContext) -> Standing:
    """What the gate's steps before this one came to, from what they remembered."""
    scores: dict[ChunkKey, float] = {}
    accepted: set[ChunkKey] = set()
    for step in context.library.runs.steps(context.run_id):
        if step.number < context.step and "log_odds" in step.detail:
            _take_up(step, scores, accepted)
    return Standing(scores, frozenset(accepted))


def _take_up(step: Step, scores: dict[ChunkKey, float], accepted: set[ChunkKey]) -> None:
    for (position, ordinal, *_, taken), value in zip(step.detail["decisions"], step.detail["log_odds"], strict=True):
        scores[position, ordinal] = value
        if taken:
            accepted.add((position, ordinal))


def _is_near(before: Standing, key: ChunkKey, threshold: float, margin: float) -> bool:
    return key not in before.scores or abs(before.scores[key] - threshold) <= margin
