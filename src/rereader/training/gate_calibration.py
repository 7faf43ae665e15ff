"""From raw scores to decisions: Platt's scaling, thresholds for a wanted recall, and the curve they lie on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.evals.intervals import auroc
from rereader.models.calibration import WANTED, Calibration
from rereader.schema import InputError
from rereader.training.gate_cases import Case

_ROUNDS = 50
_RIDGE = 1e-6
_MOVED = 0.95
"""Share of the moves of wanted memories, when the working memory grows, that the margin covers."""
_CURVE = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)
Floats = NDArray[np.floating[Any]]


def calibrate(cases: Sequence[Case], raw: Sequence[Floats]) -> Calibration:
    """Slope and offset that make raw scores log-odds, thresholds, and the margin.

    Args:
        cases: Cases that the scores' makers were not trained on.
        raw: The raw scores of each one's memories.

    Raises:
        InputError: If the cases hold only wanted memories, or only others, or no memory that is wanted with nothing
            known and with something known, or the scores tell nothing.
    """
    scores, labels, weights = _flat(cases, raw)
    if labels.all() or not labels.any():
        raise InputError("There are too few cases to calibrate the gate on.", "Train on more questions.")
    slope, offset = platt(scores, labels, weights)
    if not slope > 0:
        msg = "The trained gate tells wanted memories from others no better than chance."
        raise InputError(msg, "Train on more questions, or longer.")
    wanted = scores[labels] * slope + offset
    return Calibration(
        slope=slope,
        offset=offset,
        thresholds={f"{recall:.2f}": float(_at_recall(wanted, recall)) for recall in WANTED},
        margin=slope * _margin(cases, raw),
    )


def platt(scores: Floats, labels: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Slope and offset of the weighted logistic regression of labels on scores, by Newton's method."""
    design = np.stack([scores.astype(np.float64), np.ones(len(scores))], axis=1)
    found = np.zeros(2)
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        slant = design.T @ (weights * (labels - chance))
        bend = (design * (weights * chance * (1.0 - chance))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, slant)
        found += np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    return float(found[0]), float(found[1])


def curve(cases: Sequence[Case], raw: Sequence[Floats], calibration: Calibration) -> list[dict[str, float]]:
    """Recall, precision and the share of memories that pass, at thresholds for a range of recalls."""
    scores, labels, weights = _flat(cases, raw)
    odds = calibration.log_odds(scores)
    rows = []
    for recall in _CURVE:
        threshold = float(_at_recall(odds[labels], recall))
        passing = odds >= threshold
        rows.append(
            {
                "threshold": round(threshold, 4),
                "recall": _share(passing[labels], weights[labels]),
                "precision": _share(labels[passing], weights[passing]),
                "pass_rate": _share(passing, weights),
            }
        )
    return rows


def metrics(cases: Sequence[Case], raw: Sequence[Floats], calibration: Calibration) -> dict[str, Any]:
    """Loss, area under the ROC curve and pass rates, over all cases, with nothing known and with something known."""
    groups: Mapping[str, list[int]] = {
        "all": list(range(len(cases))),
        "nothing known": [i for i, case in enumerate(cases) if not case.known],
        "something known": [i for i, case in enumerate(cases) if case.known],
    }
    return {
        name: _metrics([cases[i] for i in places], [raw[i] for i in places], calibration)
        for name, places in groups.items()
        if places
    }


def _metrics(cases: Sequence[Case], raw: Sequence[Floats], calibration: Calibration) -> dict[str, Any]:
    scores, labels, weights = _flat(cases, raw)
    odds = calibration.log_odds(scores)
    losses = np.logaddexp(0.0, np.where(labels, -odds, odds))
    passes = {name: odds >= value for name, value in calibration.thresholds.items()}
    return {
        "cases": len(cases),
        "wanted": int(labels.sum()),
        "loss": round(float(np.average(losses, weights=weights)), 5),
        "auroc": round(auroc(odds.tolist(), labels.tolist(), weights.tolist()) or 0.0, 4),
        "at": {
            name: {"recall": _share(found[labels], weights[labels]), "pass_rate": _share(found, weights)}
            for name, found in passes.items()
        },
    }


def _flat(cases: Sequence[Case], raw: Sequence[Floats]) -> tuple[Floats, NDArray[np.bool_], Floats]:
    labels = np.concatenate([case.labels for case in cases])
    weights = np.concatenate([case.weights for case in cases]).astype(np.float64)
    return np.concatenate(list(raw)).astype(np.float64), labels, weights


def _at_recall(wanted: Floats, recall: float) -> np.floating[Any]:
    """The greatest score that lets at least that share of the wanted pass."""
    value: np.floating[Any] = np.quantile(wanted, 1.0 - recall, method="lower")
    return value


def _margin(cases: Sequence[Case], raw: Sequence[Floats]) -> float:
    """How far the score of a wanted memory moves when facts come to be known."""
    before = {
        (case.question, memory): float(score)
        for case, scores in zip(cases, raw, strict=True)
        if not case.known
        for memory, score in zip(case.memories, scores, strict=True)
    }
    moves = [
        abs(float(score) - before[case.question, memory])
        for case, scores in zip(cases, raw, strict=True)
        if case.known
        for memory, score, wanted in zip(case.memories, scores, case.labels, strict=True)
        if wanted and (case.question, memory) in before
    ]
    if not moves:
        raise InputError("There are too few cases to calibrate the gate on.", "Train on more questions.")
    return float(np.quantile(moves, _MOVED))


def _share(values: NDArray[np.bool_], weights: Floats) -> float:
    return round(float(np.average(values, weights=weights)), 4) if len(values) else 0.0
