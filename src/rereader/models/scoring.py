"""Log-probabilities of given continuations, with the prompt read once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.models.batch import Batch
from rereader.models.batching import plan_batches, restore, run_halving
from rereader.models.decoding import Slots
from rereader.models.engine import Engine
from rereader.models.rendering import Rendered
from rereader.schema.events import Cancelled

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Candidates:
    """Continuations that are scored after one prompt."""

    prompt: Rendered
    continuations: tuple[Ids, ...]


def score_candidates(
    engine: Engine, items: Sequence[Candidates], slots: Slots, cancelled: Cancelled
) -> list[list[float]]:
    """Natural-log probability of each continuation, summed over its tokens; an empty one scores 0.

    Each prompt is read once. Continuations of one token are read off the logits after it; longer ones run on copies
    of the prompt's keys and values.
    """
    sizes = [len(item.prompt.ids) + max(map(len, item.continuations)) for item in items]
    batches = plan_batches(sizes, slots.prefill, slots.tokens)

    def run(part: Sequence[int]) -> list[list[float]]:
        return _score_batch(engine, [items[index] for index in part], slots, cancelled)

    return restore(batches, [run_halving(batch, run) for batch in batches])


def _score_batch(engine: Engine, items: Sequence[Candidates], slots: Slots, cancelled: Cancelled) -> list[list[float]]:
    batch = engine.prefill([item.prompt for item in items], cancelled)
    pairs = [(row, ids) for row, item in enumerate(items) for ids in item.continuations]
    scores = iter(_score_pairs(engine, batch, pairs, slots, cancelled))
    return [[next(scores) for _ in item.continuations] for item in items]


def _score_pairs(
    engine: Engine, batch: Batch, pairs: Sequence[tuple[int, Ids]], slots: Slots, cancelled: Cancelled
) -> list[float]:
    longest = max(len(ids) for _, ids in pairs)
    # Single tokens need no copy of the cache, so all of them are read off at once.
    most = len(pairs) if longest <= 1 else max(1, slots.tokens // (batch.width + longest))
    scores: list[float] = []
    for start in range(0, len(pairs), most):
        rows, continuations = zip(*pairs[start : start + most], strict=True)
        table = engine.score(batch, rows, continuations, cancelled)
        scores += table.double().sum(-1).tolist()
    return scores
