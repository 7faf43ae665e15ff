"""Trains the head of the gate: one small network for each fold of the questions, stopped by that fold.

The scores that calibrate the gate, and the metrics that go with it, are those that each network gives to the questions
that it was not trained on; in use, the networks' mean decides.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rereader.models.base import Cancel, Float32Array
from rereader.models.extras import require_local
from rereader.models.gatehead import CLIP, GateHead
from rereader.schema import InputError
from rereader.training.gate_calibration import calibrate
from rereader.training.gate_cases import Case, Told, stop_if

if TYPE_CHECKING:
    import torch

FOLDS = 5
"""Parts that questions are dealt into; what calibrates a gate was not trained on."""


@dataclass(frozen=True)
class HeadSettings:
    """How heads are trained.

    Args:
        folds: Networks; each is trained on all questions but those of its fold.
        hidden: Hidden units of each.
        epochs: Most passes over the cases.
        patience: Passes without a smaller loss on the fold that end it.
        batch: Memories of a step.
        rate: Learning rate at the beginning; it falls to nothing.
        decay: Weight decay.
        dropout: Share of hidden units that are left out of a step.
        seed: Decides folds, first weights and order.
    """

    folds: int = FOLDS
    hidden: int = 32
    epochs: int = 60
    patience: int = 10
    batch: int = 1024
    rate: float = 5e-3
    decay: float = 0.1
    dropout: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Network:
    """A trained network: inner weights [features, hidden] and bias [hidden], outer weights [hidden] and bias []."""

    inner: Float32Array
    inner_bias: Float32Array
    outer: Float32Array
    outer_bias: Float32Array


def fold_of(question: str, folds: int, seed: int) -> int:
    """The fold of a question; all its cases are in it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{question}".encode()).digest()[:4], "big") % folds


def train_head(
    cases: Sequence[Case],
    settings: HeadSettings,
    probes: Float32Array,
    told: Told = lambda done, total: None,
    cancel: Cancel | None = None,
) -> tuple[GateHead, list[Float32Array]]:
    """Train, calibrate.

    Args:
        cases: Labelled cases.
        settings: How.
        probes: The embedder's vectors of ``gatehead.PROBES``: float32 [probes, d].
        told: Is told passes done and passes in all.
        cancel: Stops.

    Returns:
        The head, and each case's raw scores by the network that was not trained on its question.

    Raises:
        InputError: If there are too few questions for the folds.
        Interrupted: If ``cancel`` is set.
        MissingExtra: If torch is not installed.
    """
    require_local()
    folds = np.array([fold_of(case.question, settings.folds, settings.seed) for case in cases])
    if any(not (folds == fold).any() or not (folds != fold).any() for fold in range(settings.folds)):
        raise InputError(f"There are too few questions for {settings.folds} folds.", "Train on more questions.")
    everything = np.concatenate([case.features for case in cases])
    mean, scale = everything.mean(axis=0), np.maximum(everything.std(axis=0), 1e-6)
    tables = [np.clip((case.features - mean) / scale, -CLIP, CLIP) for case in cases]
    networks, held = [], [np.zeros(0, dtype=np.float32)] * len(cases)
    total = settings.folds * settings.epochs
    for fold in range(settings.folds):
        train, test = np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()
        start = fold * settings.epochs

        def passed(done: int, start: int = start) -> None:
            told(start + done, total)
            stop_if(cancel)

        network = _train_network(cases, tables, train, test, settings, passed)
        networks.append(network)
        for place in test:
            held[place] = _forward(network, tables[place])
    told(total, total)
    head = GateHead(
        mean=mean,
        scale=scale,
        inner=np.stack([network.inner for network in networks]),
        inner_bias=np.stack([network.inner_bias for network in networks]),
        outer=np.stack([network.outer for network in networks]),
        outer_bias=np.stack([network.outer_bias for network in networks]),
        probes=probes,
        calibration=calibrate(cases, held),
    )
    return head, held


def _forward(network: Network, table: Float32Array) -> Float32Array:
    hidden = np.maximum(table @ network.inner + network.inner_bias, 0.0)
    return np.asarray(hidden @ network.outer + network.outer_bias, dtype=np.float32)


def _train_network(
    cases: Sequence[Case],
    tables: Sequence[Float32Array],
    train: Sequence[int],
    test: Sequence[int],
    settings: HeadSettings,
    passed: Callable[[int], None],
) -> Network:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        rows, labels, weights = _tensors(cases, tables, train)
        checks = _tensors(cases, tables, test)
        net = torch.nn.Sequential(
            torch.nn.Linear(rows.shape[1], settings.hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(settings.dropout),
            torch.nn.Linear(settings.hidden, 1),
        )
        optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
        best, kept, since = float("inf"), _copied(net), 0
        for epoch in range(settings.epochs):
            passed(epoch)
            net.train()
            for batch in torch.randperm(len(rows)).chunk(math.ceil(len(rows) / settings.batch)):
                optimizer.zero_grad()
                _loss(net, rows[batch], labels[batch], weights[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            schedule.step()
            net.eval()
            with torch.no_grad():
                loss = float(_loss(net, *checks))
            best, kept, since = (loss, _copied(net), 0) if loss < best else (best, kept, since + 1)
            if since >= settings.patience:
                break
    return kept


def _tensors(
    cases: Sequence[Case], tables: Sequence[Float32Array], places: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, labels and weights of some cases; every case weighs the same, however many memories it has."""
    import torch

    weights = [cases[place].weights / cases[place].weights.sum() for place in places]
    flat = np.concatenate(weights)
    return (
        torch.from_numpy(np.concatenate([tables[place] for place in places]).astype(np.float32)),
        torch.from_numpy(np.concatenate([cases[place].labels for place in places]).astype(np.float32)),
        torch.from_numpy((flat / flat.mean()).astype(np.float32)),
    )


def _loss(net: Any, rows: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(net(rows)[:, 0], labels, weight=weights)


def _copied(net: Any) -> Network:
    """The network's weights as they are now."""
    inner, outer = net[0], net[-1]
    arrays = (inner.weight.T, inner.bias, outer.weight[0], outer.bias[0])
    return Network(*(array.detach().numpy().copy() for array in arrays))
