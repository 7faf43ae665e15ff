"""Finds a model's retrieval heads.

By what they look at when a question is asked: the sentences that answer it (QRHead, arXiv 2506.09944). Or by what they
do while the answer is written: a head copies a token if it looks at that very token in the sentence that answers (Wu et
al., arXiv 2404.15574; here the answering sentences are put in as the reply, so that every item counts and none depends
on what the model would write).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rereader.agents.attender import Attended, attend, attending
from rereader.evals.marked import MarkedItem
from rereader.models.base import Cancel, Float32Array, Head, LanguageModel, Segment
from rereader.prompts.loader import Piece
from rereader.schema.errors import InputError

CHOSEN = 16
"""Heads in a list: as many as QRHead keeps of models below ten billion parameters."""
Told = Callable[[int, int], None]
Method = Literal["looking", "copying"]


@dataclass(frozen=True)
class Detection:
    """What was found in a model.

    Args:
        model: Its name.
        fingerprint: Identifies weights, precision and versions.
        method: What was scored.
        source: The set of questions.
        items: Number of questions.
        items_hash: sha256 over their ids.
        heads: The best heads, best first.
        scores: Mean over the items, one row of heads per layer: calibrated attention on what answers, or the share of
            its tokens that were copied.
        overlap: Heads that the best :data:`CHOSEN` of two disjoint halves of the items share.
    """

    model: str
    fingerprint: str
    method: Method
    source: str
    items: int
    items_hash: str
    heads: tuple[Head, ...]
    scores: tuple[tuple[float, ...], ...]
    overlap: int

    def write(self, path: Path) -> None:
        """Store it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        beside.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        beside.replace(path)


def detect(
    model: LanguageModel,
    source: str,
    items: Sequence[MarkedItem],
    told: Told = lambda done, total: None,
    cancel: Cancel | None = None,
    method: Method = "looking",
) -> Detection:
    """Score every head on items whose answering parts are known.

    Raises:
        InputError: If there are fewer than two items.
        ModelError: If the model does not show its attention.
        Interrupted: If ``cancel`` is set.
    """
    if len(items) < 2:
        raise InputError("Heads are found on two questions at least.", "Raise --items.")
    heads = model.all_heads()
    score = looked if method == "looking" else copied
    found = []
    for done, item in enumerate(items):
        told(done, len(items))
        found.append(score(model, item, heads, cancel))
    told(len(items), len(items))
    table = np.stack(found)
    layers = max(head.layer for head in heads) + 1
    halves = (set(best(table[start::2], heads)) for start in (0, 1))
    return Detection(
        model=model.name,
        fingerprint=model.fingerprint,
        method=method,
        source=source,
        items=len(items),
        items_hash=hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest(),
        heads=tuple(best(table, heads)),
        scores=tuple(tuple(round(float(s), 6) for s in row) for row in table.mean(0).reshape(layers, -1)),
        overlap=len(set.intersection(*halves)),
    )


def attended(model: LanguageModel, item: MarkedItem, heads: Sequence[Head], cancel: Cancel | None = None) -> Attended:
    """What an item's question looks at."""
    return attend(model, item.question, _pieces(item), heads, cancel)


def looked(model: LanguageModel, item: MarkedItem, heads: Sequence[Head], cancel: Cancel | None = None) -> Float32Array:
    """Calibrated attention that each head gives to what answers: float32 [heads]."""
    masses: Float32Array = attended(model, item, heads, cancel).by_head()[:, sorted(item.gold)].sum(1)
    return masses


def copied(model: LanguageModel, item: MarkedItem, heads: Sequence[Head], cancel: Cancel | None = None) -> Float32Array:
    """Share of the tokens of what answers that each head copies while it is written: float32 [heads].

    A token is copied by a head that, from the place before it, looks most at the same token in what answers.
    """
    prompt, first = attending(item.question, _pieces(item))
    answer = " ".join(item.parts[place].strip() for place in sorted(item.gold))
    found = model.attention((*prompt, Segment("assistant", answer, trusted=False)), heads, cancel)
    start, end = found.ranges[-1]
    before = len(found.ids) - len(found.by_query)  # tokens of the text; the queries come after it
    ids, gold = np.array(found.ids), np.zeros(len(found.ids), dtype=bool)
    for place in item.gold:
        gold[slice(*found.ranges[first + place])] = True
    peaks = found.peaks[:, start - 1 - before : end - 1 - before]
    shares: Float32Array = (gold[peaks] & (ids[peaks] == ids[start:end])).mean(1, dtype=np.float32)
    return shares


def _pieces(item: MarkedItem) -> list[Piece]:
    return [Piece(part) for part in item.parts]


def best(table: Float32Array, heads: Sequence[Head], count: int = CHOSEN) -> list[Head]:
    """The heads with the highest mean of ``table``, float32 [items, heads]."""
    return [heads[place] for place in np.argsort(-table.mean(0), kind="stable")[:count]]
