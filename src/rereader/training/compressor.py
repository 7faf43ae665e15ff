"""Trains a compressor: Activation Beacon (arXiv 2401.03462) at a size that a CPU can do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from rereader.evals.environment import describe_environment
from rereader.models.memory_file import CompressorManifest, base_identity, save_tokens
from rereader.models.memory_passes import Passes
from rereader.models.memory_tokens import MemoryTokens
from rereader.schema import Interrupted, Progress
from rereader.schema.events import Cancelled, Listener
from rereader.training.compressor_base import Base
from rereader.training.compressor_evaluation import Comparison, summarise
from rereader.training.compressor_loop import Loop
from rereader.training.compressor_losses import stretch_loss
from rereader.training.compressor_settings import CompressorSettings, write_settings
from rereader.training.compressor_texts import TrainingTexts, load_texts

PLOT = "loss.png"


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Args:
        folder: Where the compressor lies.
        steps: Steps taken.
        seconds: What they took.
        summary: See :func:`~rereader.training.compressor_evaluation.summarise`.
        notes: What could not be done.
    """

    folder: Path
    steps: int
    seconds: float
    summary: list[dict[str, Any]]
    notes: tuple[str, ...] = ()


def train(
    base: Base, settings: CompressorSettings, folder: Path, listener: Listener, cancelled: Cancelled, *, resume: bool
) -> Trained:
    """Train a compressor, measure it on unseen text, and write it.

    Args:
        base: The model.
        settings: How.
        folder: Where everything goes.
        listener: Is told how far it is.
        cancelled: Whether to stop after a step.
        resume: Whether to go on from the folder's checkpoint.

    Raises:
        InputError: If the texts or the checkpoint cannot be used.
        Interrupted: If ``cancelled`` says so; the training can be resumed.
        ModelError: If the model is not supported, or the loss is not a number.
    """
    length = settings.length
    texts = load_texts(settings.texts, settings.held_out, settings.held_out_share, length, base.renderer)
    tokens = base.new_tokens(settings.rank, settings.start, settings.seed)
    made_of = [settings.model_dump(mode="json"), texts.digest, base_identity(base.model)]
    loop = Loop(tokens, settings.schedule, folder, json.dumps(made_of))
    if not loop.resumed(resume):
        write_settings(folder, settings)
        loop.log.add("begin", **_described(settings, texts))
    loop.run(Steps(base, settings, texts, tokens), listener, cancelled)
    summary = _measure(Comparison(base, settings, tokens), texts, settings, loop, listener, cancelled)
    made = {"seed": settings.seed, "steps": loop.counter.step, "measured": summary}
    save_tokens(folder, tokens, _manifest(base, settings, texts.digest, made))
    notes = loop.log.draw("loss", "next-token loss", folder / PLOT)
    loop.finish()
    return Trained(folder, loop.counter.step, loop.counter.seconds, summary, notes)


class Steps:
    """Takes training steps; what a step reads depends on the seed and its number only."""

    def __init__(self, base: Base, settings: CompressorSettings, texts: TrainingTexts, tokens: MemoryTokens) -> None:
        self._base, self._settings, self._texts, self._tokens = base, settings, texts, tokens
        self._passes = Passes(base.model, settings.layout)
        with torch.no_grad():
            self._opening = self._passes.begin(base.tensor([base.opening]))

    def __call__(self, step: int) -> Mapping[str, Any]:
        """Put the gradients of one step's loss on the compressor's parameters."""
        settings, rng = self._settings, Random(f"compressor {self._settings.seed} {step}")
        ratio = rng.choice(settings.ratios)
        ids = self._base.tensor([self._texts.draw(rng, settings.length) for _ in range(settings.batch)])
        loss, counted = stretch_loss(
            self._passes, self._tokens, self._opening, ids, settings.window, settings.windows, ratio
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return {"ratio": ratio, "loss": float(loss.detach()), "counted": counted, "tokens": ids.numel()}


def _described(settings: CompressorSettings, texts: TrainingTexts) -> dict[str, Any]:
    """What the log begins with; of files it has the names only."""
    plain = settings.model_dump(mode="json")
    plain |= {"texts": [path.name for path in settings.texts], "held_out": [path.name for path in settings.held_out]}
    sizes = {"train": sum(map(len, texts.train)), "held_out": sum(map(len, texts.held_out))}
    return {"settings": plain, "data": texts.digest, "tokens": sizes, "environment": describe_environment()}


def _manifest(base: Base, settings: CompressorSettings, data: str, made: Mapping[str, Any]) -> CompressorManifest:
    environment = describe_environment()
    about = {name: environment[name] for name in ("commit", "dirty", "date")}
    versions = {name: environment["packages"].get(name) for name in ("rereader", "torch", "transformers")}
    return CompressorManifest(
        base=base_identity(base.model),
        base_name=base.name,
        end=base.end,
        rank=settings.rank,
        start=settings.start,
        layout=settings.layout,
        window=settings.window,
        ratios=settings.ratios,
        data=data,
        made={**about, "versions": versions, **made},
    )


def _measure(
    comparison: Comparison,
    texts: TrainingTexts,
    settings: CompressorSettings,
    loop: Loop,
    listener: Listener,
    cancelled: Cancelled,
) -> list[dict[str, Any]]:
    """Measure a compressor on unseen text; the rows go into the log."""
    stretches, rows, started = texts.unseen(settings.chunks, settings.length), [], time.monotonic()
    for row in comparison.rows(stretches):
        rows.append(row)
        loop.log.add("measured", step=loop.counter.step, **row)
        seconds = time.monotonic() - started
        listener(Progress("measurements", row["chunk"], len(stretches), seconds=seconds))
        if cancelled():
            raise Interrupted(
                "Stopped while measuring; the training is kept.", f"Go on with --resume --out {loop.folder}."
            )
    summary = summarise(rows)
    for found in summary:
        loop.log.add("summary", step=loop.counter.step, **found)
    return summary
