"""Trains the gate that reads: LoRA adapters in the scorer and a linear head on the last token of the gate's prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from rereader.agents.gates import known_pieces
from rereader.agents.gates_choose import gate_requests
from rereader.models.base import Cancel, Float32Array
from rereader.models.gatelora import GateReader, adapted
from rereader.prompts.loader import Piece
from rereader.schema import InputError
from rereader.training.gate_cases import Case, Told, stop_if
from rereader.training.gate_head import FOLDS, fold_of

_HELD = 0
"""The fold that is not trained on."""


@dataclass(frozen=True)
class LoraSettings:
    """How adapters are trained.

    Args:
        rank: Rank of the adapters.
        steps: Steps of the optimiser.
        cases: Cases of a step.
        others: Memories beside the point for each case of a step.
        rate: Learning rate of the adapters; the head's is ten times that.
        checked: Cases of the held fold that the gate is calibrated on, rounded up to whole questions.
        beside: Memories beside the point that are scored of each of them; they stand for those that are not.
        seed: Decides adapters, order and draws.
    """

    rank: int = 8
    steps: int = 300
    cases: int = 4
    others: int = 3
    rate: float = 3e-4
    checked: int = 80
    beside: int = 8
    seed: int = 0


@dataclass(frozen=True)
class LoraRun:
    """What training came to.

    Args:
        reader: The adapted model with its head.
        losses: Loss of every step.
        checked: Cases of the held fold, which was not trained on.
        raw: Raw scores of each one's memories.
    """

    reader: GateReader
    losses: tuple[float, ...]
    checked: tuple[Case, ...]
    raw: tuple[Float32Array, ...]


def train_lora(
    model: Any,
    tokenizer: Any,
    cases: Sequence[Case],
    settings: LoraSettings,
    told: Told = lambda done, total: None,
    cancel: Cancel | None = None,
) -> LoraRun:
    """Train adapters in ``model``, which is changed, and score the held fold.

    Args:
        model: A causal language model of transformers, in float32.
        tokenizer: Its tokenizer.
        cases: Labelled cases.
        settings: How.
        told: Is told steps done and steps in all.
        cancel: Stops.

    Raises:
        InputError: If there are too few questions to hold some back.
        Interrupted: If ``cancel`` is set.
        MissingExtra: If ``peft`` is not installed.
    """
    import torch

    rng = Random(f"lora:{settings.seed}")
    held = [case for case in cases if fold_of(case.question, FOLDS, settings.seed) == _HELD]
    rest = [case for case in cases if fold_of(case.question, FOLDS, settings.seed) != _HELD and not case.labels.all()]
    if not held or not rest:
        raise InputError("There are too few questions to hold some back.", "Train on more questions.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        reader = adapted(model, tokenizer, settings.rank)
        losses = tuple(_steps(reader, rest, settings, rng, told, cancel))
    reader.model.eval()
    checked = [thinned(case, settings.beside, rng) for case in _of_some_questions(held, settings.checked, rng)]
    raw = tuple(score(reader, case, cancel) for case in checked)
    return LoraRun(reader, losses, tuple(checked), raw)


def _of_some_questions(cases: Sequence[Case], most: int, rng: Random) -> list[Case]:
    """All cases of questions that are drawn until there are so many: what the margin compares stays together."""
    questions = sorted({case.question for case in cases})
    chosen: list[Case] = []
    for question in rng.sample(questions, len(questions)):
        if len(chosen) >= most:
            break
        chosen += [case for case in cases if case.question == question]
    return chosen


def thinned(case: Case, beside: int, rng: Random) -> Case:
    """A case with all of its wanted memories and so many of the others, which stand for the rest as well."""
    others = np.flatnonzero(~case.labels).tolist()
    kept = sorted(rng.sample(others, min(beside, len(others))))
    places = sorted([*np.flatnonzero(case.labels).tolist(), *kept])
    weights = case.weights.copy()
    if kept:
        weights[kept] *= case.weights[others].sum() / case.weights[kept].sum()
    return replace(
        case,
        memories=tuple(case.memories[place] for place in places),
        features=case.features[places],
        labels=case.labels[places],
        weights=weights[places],
    )


def score(reader: GateReader, case: Case, cancel: Cancel | None = None) -> Float32Array:
    """Raw score of each of a case's memories: float32 [kept]."""
    return reader.raw(_prompts(reader, case, range(len(case.memories))), cancel)


def _steps(
    reader: GateReader, cases: Sequence[Case], settings: LoraSettings, rng: Random, told: Told, cancel: Cancel | None
) -> list[float]:
    import torch

    adapters = [parameter for parameter in reader.model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": adapters, "lr": settings.rate},
        {"params": [reader.weight, reader.bias], "lr": 10 * settings.rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, settings.steps))
    reader.model.train()
    losses = []
    for step in range(settings.steps):
        told(step, settings.steps)
        stop_if(cancel)
        rows, labels = _batch(reader, cases, settings, rng)
        optimizer.zero_grad()
        wanted = torch.tensor(labels, device=reader.model.device)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(reader.scores(rows), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*adapters, reader.weight, reader.bias], 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    told(settings.steps, settings.steps)
    return losses


def _pace(step: int, steps: int) -> float:
    """Share of the learning rate: up over the first twentieth, then down to nothing in a line."""
    rise = max(1, steps // 20)
    return min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))


def _batch(
    reader: GateReader, cases: Sequence[Case], settings: LoraSettings, rng: Random
) -> tuple[list[tuple[int, ...]], list[float]]:
    """Prompts and labels: of each case drawn a wanted memory and some others, the hard ones as often as the easy."""
    rows: list[tuple[int, ...]] = []
    labels: list[float] = []
    for case in rng.sample(list(cases), min(settings.cases, len(cases))):
        wanted, others = np.flatnonzero(case.labels).tolist(), np.flatnonzero(~case.labels).tolist()
        places = [rng.choice(wanted), *rng.sample(others, min(settings.others, len(others)))]
        rows += _prompts(reader, case, places)
        labels += [1.0, *[0.0] * (len(places) - 1)]
    return rows, labels


def _prompts(reader: GateReader, case: Case, places: Sequence[int]) -> list[tuple[int, ...]]:
    memories = [Piece(case.memories[place]) for place in places]
    requests = gate_requests(case.asked, known_pieces(case.known), memories)
    return [reader.renderer.render(request.prompt).ids for request in requests]
