"""Trains a compressor and its reader together, by the reward of the answers that are read from compressed memory.

LycheeMemory (arXiv 2602.08382) trains both by reinforcement, with the gradient going through the stored keys and
values; its training code is not public. Here: questions on facts in filler, one reply per question read from the blocks
of all parts of its text, a reward of 1 for the right word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from rereader.evals.environment import describe_environment
from rereader.models import tensorfile
from rereader.models.base import Segment
from rereader.models.memory_file import CompressorManifest, base_identity, load_tensors, restore_tokens, save_tokens
from rereader.models.memory_passes import Memory, Passes
from rereader.models.memory_tokens import MemoryTokens, Projections
from rereader.prompts.openings import kv_opening
from rereader.schema import InputError
from rereader.schema.events import Cancelled, Listener
from rereader.training.compressor_base import Base
from rereader.training.compressor_evaluation import mean_and_error
from rereader.training.compressor_facts import FactQuestion, FactTask
from rereader.training.compressor_log import TrainingLog
from rereader.training.compressor_loop import LOG, Loop
from rereader.training.compressor_policy import Group, policy_loss, sample
from rereader.training.compressor_settings import JointSettings, write_settings

READER = "reader.safetensors"
PLOT = "reward.png"


@dataclass(frozen=True)
class Rewards:
    """Mean reward of the first and the last tenth of the steps, each with its standard error over the steps."""

    first: tuple[float, float]
    last: tuple[float, float]

    @property
    def errors(self) -> float:
        """How many standard errors the last tenth is above the first."""
        return _distance(self.last, self.first)

    def errors_above(self, other: Rewards) -> float:
        """How many standard errors the last tenth is above that of another training."""
        return _distance(self.last, other.last)


def train_jointly(
    base: Base,
    settings: JointSettings,
    folder: Path,
    listener: Listener,
    cancelled: Cancelled,
    *,
    resume: bool,
    task: FactTask | None = None,
) -> tuple[Rewards, tuple[str, ...]]:
    """Train by reward, and write compressor and reader.

    Args:
        base: The model.
        settings: How.
        folder: Where everything goes.
        listener: Is told how far it is.
        cancelled: Whether to stop after a step.
        resume: Whether to go on from the folder's checkpoint.
        task: The questions; by default those that the settings describe.

    Returns:
        The rewards, and what could not be done.

    Raises:
        InputError: If the compressor or the checkpoint cannot be used.
        Interrupted: If ``cancelled`` says so; the training can be resumed.
        ModelError: If the model is not supported, or the loss is not a number.
    """
    tokens, manifest = _compressor(base, settings)
    reader = _reader(base, settings) if settings.reader_rank else None
    tokens.requires_grad_(not settings.frozen)
    parts = {"tokens": tokens, **({"reader": reader} if reader is not None else {})}
    trained = torch.nn.ModuleDict(parts)
    began_from = asdict(replace(manifest, made={}))
    made_of = [settings.model_dump(mode="json"), began_from, base_identity(base.model)]
    loop = Loop(trained, settings.schedule, folder, json.dumps(made_of))
    if not loop.resumed(resume):
        write_settings(folder, settings)
        plain = settings.model_dump(mode="json")
        plain |= {"compressor": settings.compressor.name if settings.compressor else None}
        loop.log.add("begin", settings=plain, environment=describe_environment())
    asked = task or FactTask(settings.facts, settings.filler, settings.hops)
    loop.run(JointSteps(base, settings, manifest, tokens, reader, asked), listener, cancelled)
    rewards = rewards_of(list(loop.log.rows()))
    made = {"reward first tenth": rewards.first, "reward last tenth": rewards.last, "steps": loop.counter.step}
    loop.log.add("rewards", step=loop.counter.step, first=rewards.first, last=rewards.last, errors=rewards.errors)
    save_tokens(folder, tokens, replace(manifest, made={**manifest.made, "joint": made}))
    if reader is not None:
        states = {name: tensor.detach().cpu() for name, tensor in reader.state_dict().items()}
        tensorfile.write(folder / READER, states, {"base": manifest.base, "rank": str(settings.reader_rank)})
    notes = loop.log.draw("reward", "mean reward", folder / PLOT)
    loop.finish()
    return rewards, notes


class JointSteps:
    """Takes training steps; questions depend on the seed and the step's number only."""

    def __init__(
        self,
        base: Base,
        settings: JointSettings,
        manifest: CompressorManifest,
        tokens: MemoryTokens,
        reader: Projections | None,
        task: FactTask,
    ) -> None:
        self._base, self._settings, self._manifest, self._task = base, settings, manifest, task
        self._tokens, self._reader = tokens, reader
        self._passes = Passes(base.model, manifest.layout)
        self._ends = frozenset({base.end, *base.renderer.end_of_turn_ids()})
        with torch.no_grad():
            self._opening = self._passes.begin(base.tensor([base.opening]))

    def __call__(self, step: int) -> Mapping[str, Any]:
        """Put the gradients of one step's loss on the parameters."""
        settings, rng = self._settings, Random(f"joint {self._settings.seed} {step}")
        draws = torch.Generator().manual_seed(rng.getrandbits(48))
        ratio = rng.choice(settings.ratios)
        groups = [self._group(self._task.draw(rng), ratio, draws) for _ in range(settings.questions)]
        loss = policy_loss(self._passes, groups, self._reader)
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        rewards = [reward for group in groups for reward in group.rewards]
        return {
            "ratio": ratio,
            "reward": sum(rewards) / len(rewards),
            "loss": 0.0 if loss is None else float(loss.detach()),
            "compressor_norm": _norm(self._tokens),
            "reader_norm": _norm(self._reader),
        }

    def _group(self, question: FactQuestion, ratio: float, draws: torch.Generator) -> Group:
        settings = self._settings
        prompt = self._base.tensor([self._prompt(question)])
        past = self._past(question.text, ratio)
        replies = sample(
            self._passes, past, prompt, self._reader, settings.group, settings.reply_tokens, self._ends, draws
        )
        texts = [self._base.tokenizer.decode(reply, skip_special_tokens=True) for reply in replies]
        return Group(past, prompt, tuple(replies), tuple(map(question.reward, texts)))

    def _prompt(self, question: FactQuestion) -> tuple[int, ...]:
        """Tokens from the memory to where the reply goes on."""
        memory, asked = Segment("user", ""), Segment("user", f"\n\n{question.question}")
        rendered = self._base.renderer.render((*kv_opening(), memory, asked, Segment("assistant", question.lead)))
        return rendered.ids[rendered.ranges[-3][1] :]

    def _past(self, text: str, ratio: float) -> Memory:
        """The opening, and the blocks of all parts of a text, each made on its own."""
        ids = self._base.renderer.encode(text)
        size = -(-len(ids) // self._settings.parts)
        past = self._opening
        with torch.no_grad() if self._settings.frozen else nullcontext():
            for start in range(0, len(ids), size):
                past = past.then(self._block(ids[start : start + size], ratio))
        return past

    def _block(self, ids: Sequence[int], ratio: float) -> Memory:
        tokens = self._base.tensor([ids])
        whole = self._passes.compress(self._opening, tokens, self._tokens, self._manifest.window, ratio)
        return whole.after(self._opening.places, self._opening.length)


def rewards_of(rows: Sequence[Mapping[str, Any]]) -> Rewards:
    """Rewards of the first and the last tenth of the steps in a log, at least one step each."""
    rewards = [float(row["reward"]) for row in rows if row.get("kind") == "step"]
    tenth = max(1, len(rewards) // 10)
    return Rewards(mean_and_error(rewards[:tenth]), mean_and_error(rewards[-tenth:]))


def rewards_in(folder: Path) -> Rewards:
    """Rewards of a finished training.

    Raises:
        InputError: If there is none in the folder, or it is not finished.
    """
    rows = list(TrainingLog(folder / LOG).rows())
    if not any(row["kind"] == "rewards" for row in rows):
        msg = f"There is no finished training by reward in {folder}."
        raise InputError(msg, "Name the folder it was told to use, or finish it with --resume.")
    return rewards_of(rows)


def _compressor(base: Base, settings: JointSettings) -> tuple[MemoryTokens, CompressorManifest]:
    """A trained compressor, or a new one."""
    if settings.compressor is not None:
        tensors, manifest = load_tensors(settings.compressor)
        return restore_tokens(base.model, tensors, manifest), manifest
    manifest = CompressorManifest(base_identity(base.model), base.name, base.end, ratios=settings.ratios)
    return base.new_tokens(manifest.rank, manifest.start, settings.seed), manifest


def _reader(base: Base, settings: JointSettings) -> Projections:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Projections(base.model, settings.reader_rank).to(base.model.device)


def _distance(high: tuple[float, float], low: tuple[float, float]) -> float:
    spread = (high[1] ** 2 + low[1] ** 2) ** 0.5
    return (high[0] - low[0]) / spread if spread else 0.0


def _norm(module: torch.nn.Module | None) -> float:
    if module is None:
        return 0.0
    squares = [float(one.grad.square().sum()) for one in module.parameters() if one.grad is not None]
    return float(sum(squares) ** 0.5)
