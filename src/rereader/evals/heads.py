"""Finds a model's retrieval heads: those that look at the sentences that answer (QRHead, arXiv 2506.09944)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rereader.agents.attender import Attended, attend
from rereader.evals.marked import MarkedItem
from rereader.models.base import Cancel, Float32Array, Head, LanguageModel
from rereader.prompts.loader import Piece
from rereader.schema.errors import InputError

CHOSEN = 16
"""Heads in a list: as many as QRHead keeps of models below ten billion parameters."""
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Detection:
    """What was found in a model.

    Args:
        model: Its name.
        fingerprint: Identifies weights, precision and versions.
        source: The set of questions.
        items: Number of questions.
        items_hash: sha256 over their ids.
        heads: The best heads, best first.
        scores: Calibrated attention on what answers, mean over the items: one row of heads per layer.
        overlap: Heads that the best :data:`CHOSEN` of two disjoint halves of the items share.
    """

    model: str
    fingerprint: str
    source: str
    items: int
    items_hash: str
    heads: tuple[Head, ...]
    scores: tuple[tuple[float, ...], ...]
    overlap: int

    def write(self, path: Path) -> None:
        """Store it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def detect(
    model: LanguageModel,
    source: str,
    items: Sequence[MarkedItem],
    told: Told = lambda done, total: None,
    cancel: Cancel | None = None,
) -> Detection:
    """Score every head by the calibrated attention that it gives to the gold parts.

    Raises:
        InputError: If there are fewer than two items.
        ModelError: If the model does not show its attention.
        Interrupted: If ``cancel`` is set.
    """
    if len(items) < 2:
        raise InputError("Heads are found on two questions at least.", "Raise --items.")
    heads = model.all_heads()
    found = []
    for done, item in enumerate(items):
        told(done, len(items))
        found.append(attended(model, item, heads, cancel).calibrated[:, sorted(item.gold)].sum(1))
    told(len(items), len(items))
    table = np.stack(found)
    layers = max(head.layer for head in heads) + 1
    halves = (set(best(table[start::2], heads)) for start in (0, 1))
    return Detection(
        model=model.name,
        fingerprint=model.fingerprint,
        source=source,
        items=len(items),
        items_hash=hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest(),
        heads=tuple(best(table, heads)),
        scores=tuple(tuple(round(float(s), 6) for s in row) for row in table.mean(0).reshape(layers, -1)),
        overlap=len(set.intersection(*halves)),
    )


def attended(model: LanguageModel, item: MarkedItem, heads: Sequence[Head], cancel: Cancel | None = None) -> Attended:
    """What an item's question looks at."""
    return attend(model, item.question, [Piece(part) for part in item.parts], heads, cancel)


def best(table: Float32Array, heads: Sequence[Head], count: int = CHOSEN) -> list[Head]:
    """The heads with the highest mean of ``table``, float32 [items, heads]."""
    return [heads[place] for place in np.argsort(-table.mean(0), kind="stable")[:count]]
