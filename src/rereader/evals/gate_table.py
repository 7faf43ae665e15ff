"""Tables of ``rereader bench gates``: how few chunks a gate lets through for the facts that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rereader.evals.intervals import LEVEL, RESAMPLES, mean_interval
from rereader.evals.rows import Row

RECALL = 0.95
_SHARES = (0.01, 0.05, 0.1, 0.2)
_BASELINE = "similarity"
_AMONG = {"auroc_recalled": "AUROC of recall, judged ones", "auroc_judged": "AUROC of judgement, judged ones"}
_GRID = 48
"""Ranks whose scores are kept, so that the share that passes any threshold can be told from the rows."""
Floats = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], float]


def grid(chunks: int) -> list[int]:
    """Ranks, from 1 to the number of chunks, that lie ever farther apart."""
    return sorted({round(float(rank)) for rank in np.geomspace(1, max(1, chunks), _GRID)})


@dataclass(frozen=True)
class Ranks:
    """A gate's rows, question by question.

    Args:
        shares: The share of the chunks down to each wanted one: an array for each question.
        scores: The scores of the wanted ones.
        curves: Scores of the chunks at :func:`grid`, and the shares of the chunks down to them.
        known: What was worked out already, by threshold.
    """

    shares: tuple[Floats, ...]
    scores: tuple[Floats, ...]
    curves: tuple[tuple[Floats, Floats], ...]
    known: dict[float, Floats] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Ranks:
        """From the rows of one gate."""
        return cls(
            tuple(np.array(row["gold_ranks"]) / row["chunks"] for row in rows),
            tuple(np.array(row["gold_scores"]) for row in rows),
            tuple((np.array(row["scores_at"]), np.array(grid(row["chunks"])) / row["chunks"]) for row in rows),
        )

    def recall_at(self, share: float, chosen: NDArray[np.int64]) -> float:
        """Share of the wanted chunks among the best so many of each question's."""
        return float((np.concatenate([self.shares[i] for i in chosen]) <= share).mean())

    def passing(self, chosen: NDArray[np.int64]) -> float:
        """The smallest share of each question's chunks, the best ones, with which the wanted recall is reached."""
        return float(np.quantile(np.concatenate([self.shares[i] for i in chosen]), RECALL, method="higher"))

    def passing_threshold(self, chosen: NDArray[np.int64]) -> float:
        """Share of all chunks above the one threshold for all questions with which the wanted recall is reached."""
        wanted = np.concatenate([self.scores[i] for i in chosen])
        threshold = float(np.quantile(wanted, 1 - RECALL, method="lower"))
        return float(np.mean(self._above(threshold)[chosen]))

    def _above(self, threshold: float) -> Floats:
        """Share of each question's chunks above a threshold; resamples come to the same few again and again."""
        if threshold not in self.known:
            shares = [np.interp(-threshold, -scores, shares, left=0.0) for scores, shares in self.curves]
            self.known[threshold] = np.array(shares)
        return self.known[threshold]


def gate_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: AUROC, recall at shares that pass, and the share that passes at the wanted recall.

    Differences are from the gate ``similarity`` on the same questions. Where some gate judged the best recalled chunks
    only, there are the areas of the recall and of the judgement among those.
    """
    systems = list(dict.fromkeys(row["system"] for row in rows))
    by_system = {system: {row["item"]: row for row in rows if row["system"] == system} for system in systems}
    base = by_system.get(_BASELINE, {})
    among = [name for name in _AMONG if any(row.get(name) is not None for row in rows)]
    lines = [
        [*_line(system, by_system[system], base), *(_mean(by_system[system], name) for name in among)]
        for system in systems
    ]
    recalls = [f"recall at {share:.0%}" for share in _SHARES]
    passing = [f"share for {RECALL:.2f}", "one threshold", f"difference from {_BASELINE}"]
    return ["gate", "n", "chunks", "AUROC", *recalls, *passing, "s", *map(_AMONG.__getitem__, among)], lines


def _line(system: str, rows: dict[str, Row], base: dict[str, Row]) -> list[str]:
    mine = Ranks.of(list(rows.values()))
    everyone = np.arange(len(rows))
    recalls = [f"{mine.recall_at(share, everyone):.2f}" for share in _SHARES]
    seconds = float(np.mean([row["seconds"] for row in rows.values()]))
    chunks = float(np.mean([row["chunks"] for row in rows.values()]))
    passing = [_interval(mine.passing, len(rows), ".3f"), _interval(mine.passing_threshold, len(rows), ".3f")]
    gain = _gain(rows, base) if system != _BASELINE else "-"
    return [system, str(len(rows)), f"{chunks:.0f}", _mean(rows, "auroc"), *recalls, *passing, gain, f"{seconds:.2f}"]


def _mean(rows: dict[str, Row], name: str) -> str:
    """The mean of a value over the questions that have it, with its interval."""
    found = mean_interval([row[name] for row in rows.values() if row.get(name) is not None])
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]" if found else "-"


def _gain(rows: dict[str, Row], base: dict[str, Row]) -> str:
    """Difference of the share that passes, questions drawn in pairs; in bold where its interval leaves zero out."""
    shared = [item for item in rows if item in base]
    if not shared:
        return "-"
    ours, theirs = (Ranks.of([found[item] for item in shared]) for found in (rows, base))

    def difference(chosen: NDArray[np.int64]) -> float:
        return ours.passing(chosen) - theirs.passing(chosen)

    mean, low, high = _bootstrap(difference, len(shared))
    text = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _interval(statistic: Statistic, count: int, form: str) -> str:
    value, low, high = _bootstrap(statistic, count)
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _bootstrap(statistic: Statistic, count: int) -> tuple[float, float, float]:
    """A statistic of questions, and its percentile interval over questions drawn with replacement."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(0, count, count)) for _ in range(RESAMPLES // 4)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return statistic(np.arange(count)), float(low), float(high)
