"""Losses of a text's own tokens, with a longer and a shorter context: the raw material of the long-short gap.

The gap is that of ARL (arXiv 2601.13734): a token that is likely after a long context and unlikely after a short one
rests on something far back. Both are found in batched passes over overlapping windows, never token by token; logits are
looked at one block at a time and thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from rereader.models.batching import run_halving
from rereader.models.decoding import Slots
from rereader.models.engine import Engine
from rereader.models.logprobs import gather_logprobs
from rereader.models.loss_windows import LossWindow, loss_windows
from rereader.schema.events import Cancelled

Ids = tuple[int, ...]


def token_losses(
    engine: Engine, ids: Ids, lengths: Sequence[int], first: int, opening: Ids, slots: Slots, cancelled: Cancelled
) -> torch.Tensor:
    """Loss (natural logarithm) of each token after contexts of several lengths.

    Args:
        engine: Reads.
        ids: The text.
        lengths: Most tokens of context; see :func:`~rereader.models.loss_windows.loss_windows`.
        first: Tokens before it get no loss.
        opening: Tokens that every window begins with (the model's beginning of a text).
        slots: Most rows and tokens of a batch.
        cancelled: Whether to stop.

    Returns:
        float32 [lengths, tokens] on the CPU; 0 for a token without a loss.
    """
    result = torch.zeros(len(lengths), len(ids))
    for row, length in zip(result, lengths, strict=True):
        for batch in _batches(loss_windows(len(ids), length, first, bool(opening)), len(opening), slots):
            read = partial(_read_some, engine, ids, opening, batch, cancelled)
            for window, values in zip(batch, run_halving(range(len(batch)), read), strict=True):
                row[window.first : window.end] = values
    return result


def _batches(windows: Sequence[LossWindow], opening: int, slots: Slots) -> list[list[LossWindow]]:
    """Windows of one shape together, so that no row needs padding."""
    groups: dict[tuple[int, int], list[LossWindow]] = {}
    for window in windows:
        groups.setdefault((window.read, window.first - window.start), []).append(window)
    batches: list[list[LossWindow]] = []
    for (read, _), group in groups.items():
        rows = max(1, min(slots.prefill, slots.tokens // (read + opening)))
        batches += [group[at : at + rows] for at in range(0, len(group), rows)]
    return batches


def _read_some(
    engine: Engine, ids: Ids, opening: Ids, batch: Sequence[LossWindow], cancelled: Cancelled, some: Sequence[int]
) -> list[torch.Tensor]:
    windows = [batch[index] for index in some]
    rows = torch.tensor([[*opening, *ids[window.start : window.end]] for window in windows])
    skipped = len(opening) + windows[0].first - windows[0].start - 1
    found = torch.zeros(len(rows), rows.shape[1] - 1 - skipped)
    for place, logits in engine.logits(rows[:, :-1], skipped, cancelled):
        end = place + logits.shape[1]
        found[:, place - skipped : end - skipped] = -gather_logprobs(logits, rows[:, place + 1 : end + 1])
    return list(found)
