"""What a training by reward is compared with: the same training with a compressor that stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rereader.schema import InputError, Interrupted, Progress
from rereader.schema.events import Cancelled, Listener
from rereader.training.compressor_base import Base
from rereader.training.compressor_evaluation import mean_and_error
from rereader.training.compressor_facts import FactTask
from rereader.training.compressor_joint import Rewards, rewards_in, rewards_of, train_jointly
from rereader.training.compressor_log import TrainingLog
from rereader.training.compressor_loop import LOG
from rereader.training.compressor_settings import SETTINGS, JointSettings, read_settings, write_settings

CONTROL = "control"
"""Folder of the control, in that of the training."""


@dataclass(frozen=True)
class Compared:
    """A training and its control, which asked the same questions in the same steps.

    Args:
        rewards: Of the training.
        control: Of the control.
        more: How much more reward the steps of the last tenth had than the control's, and the standard error of that
            over those pairs of steps.
    """

    rewards: Rewards
    control: Rewards
    more: tuple[float, float]


def has_control(folder: Path) -> bool:
    """Whether the training in a folder was begun with a control."""
    return (folder / CONTROL / SETTINGS).exists()


def train_with_control(
    base: Base,
    settings: JointSettings,
    folder: Path,
    listener: Listener,
    cancelled: Cancelled,
    *,
    resume: bool,
    task: FactTask | None = None,
) -> tuple[Compared, tuple[str, ...]]:
    """Train by reward, then from the same start, with the same seed and for as many steps with a frozen compressor.

    Arguments, and what is raised, are those of :func:`~rereader.training.compressor_joint.train_jointly`.

    Returns:
        Both trainings' rewards, and what could not be done.

    Raises:
        InputError: If the settings leave the control nothing to train, or do not say how many steps.
    """
    control, beside = control_settings(settings), folder / CONTROL
    if not resume:
        write_settings(beside, control)
    mine, theirs = (resume and _has(place, "finished") for place in (folder, beside))
    notes: tuple[str, ...] = ()
    if not mine or _has(folder, "control"):  # one that is compared already is refused there
        _, notes = train_jointly(base, settings, folder, listener, cancelled, resume=resume, task=task)
    if not theirs:
        with _resumed_as_one(folder):
            told = _told_apart(listener)
            _, more = train_jointly(base, control, beside, told, cancelled, resume=resume, task=task)
        notes = tuple(dict.fromkeys((*notes, *more)))
    rows, others = (list(TrainingLog(place / LOG).rows()) for place in (folder, beside))
    found = Compared(rewards_of(rows), rewards_of(others), paired(rows, others))
    TrainingLog(folder / LOG).add("control", first=found.control.first, last=found.control.last, more=found.more)
    return found, notes


def control_settings(settings: JointSettings) -> JointSettings:
    """The same settings with a frozen compressor.

    Raises:
        InputError: If there is nothing to train then, or the number of steps is not said.
    """
    if settings.frozen:
        raise InputError("A training with a frozen compressor is a control itself.", "Leave out --frozen.")
    if settings.schedule.steps is None:
        msg = "In the same minutes a training and its control would not take the same steps."
        raise InputError(msg, "Say how many with --steps.")
    if not settings.reader_rank:
        raise InputError("With --reader-rank 0 the control has nothing to train.", "Give the reader a rank.")
    return settings.model_copy(update={"frozen": True})


def comparable_rewards(folder: Path, settings: JointSettings) -> Rewards:
    """Rewards of another training that differs in nothing but whether its compressor is frozen.

    Raises:
        InputError: If it is not finished, or differs in something else.
    """
    rewards, other = rewards_in(folder), read_settings(JointSettings, folder)
    mine, theirs = (one.model_dump(mode="json", exclude={"frozen"}) for one in (settings, other))
    different = [name for name, value in mine.items() if theirs[name] != value]
    if different:
        msg = f"The training in {folder} had another {different[0]}, so that a comparison would say nothing."
        raise InputError(msg, "Train both with the same settings, or use --control.")
    return rewards


def paired(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Mean and standard error of how much more reward the last tenth of the steps had than another log's same steps."""
    mine, theirs = ({row["step"]: row["reward"] for row in log if row["kind"] == "step"} for log in (rows, others))
    steps = sorted(set(mine) & set(theirs))
    return mean_and_error([mine[step] - theirs[step] for step in steps[-max(1, len(steps) // 10) :]])


def _has(folder: Path, kind: str) -> bool:
    return any(row["kind"] == kind for row in TrainingLog(folder / LOG).rows())


def _told_apart(listener: Listener) -> Listener:
    def told(progress: Progress) -> None:
        listener(replace(progress, stage="steps of the control"))

    return told


@contextmanager
def _resumed_as_one(folder: Path) -> Iterator[None]:
    """A control that is stopped goes on with its training's folder."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(stop.message, f"Go on with --resume --out {folder}.") from stop
