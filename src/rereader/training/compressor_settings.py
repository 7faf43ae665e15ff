"""Settings of a compressor's training; a run keeps those it began with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rereader.evals.data import first_fault
from rereader.models.memory_passes import Layout
from rereader.models.memory_tokens import Start
from rereader.schema import InputError

SETTINGS = "settings.json"
Settings = TypeVar("Settings", bound=BaseModel)


class Schedule(BaseModel):
    """How long to train, and how fast.

    Either ``steps`` or ``minutes``: with minutes, the learning rate falls by the time that is spent, and no step begins
    when it is up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    warm_up: int = Field(default=10, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    save_seconds: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _check_length(self) -> Schedule:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("say how many steps, or how many minutes, and not both")
        return self


class CompressorSettings(BaseModel):
    """What a compressor is and what it is trained with.

    Args:
        model: The model that it belongs to: a name or a path.
        texts: Files to train with; the last part of each is held out.
        held_out: Files that only the measurement uses; with any, the texts are used whole.
        held_out_share: Part of each text that is held out where there are no such files.
        schedule: How long, how fast.
        seed: Decides which stretches of the texts are read with which ratio.
        rank: Rank of the projections; 0 for whole matrices.
        start: What a memory token is before training.
        layout: How memory tokens stand to the text.
        window: Tokens of a text that are read at once.
        windows: Windows that are compressed one after the other before the continuation.
        continuation: Tokens that are read after the memory of all windows.
        batch: Stretches of text in a step.
        ratios: A step draws one of these.
        chunks: Held-out stretches that are measured.
        measured_ratios: Ratios that are measured.
        scorers: Training-free compressors that it is measured against.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    texts: tuple[Path, ...]
    held_out: tuple[Path, ...] = ()
    held_out_share: float = Field(default=0.1, gt=0, lt=1)
    schedule: Schedule
    seed: int = 0
    rank: int = Field(default=0, ge=0)
    start: Start = "token"
    layout: Layout = "beside"
    window: int = Field(default=256, ge=1)
    windows: int = Field(default=2, ge=1)
    continuation: int = Field(default=128, ge=2)
    batch: int = Field(default=1, ge=1)
    ratios: tuple[float, ...] = (2, 4, 8, 16)
    chunks: int = Field(default=8, ge=0)
    measured_ratios: tuple[float, ...] = (4, 16)
    scorers: tuple[str, ...] = ("recent", "window-attention", "expected-attention")

    @model_validator(mode="after")
    def _check_ratios(self) -> CompressorSettings:
        if not self.ratios or not all(1 <= ratio <= 64 for ratio in (*self.ratios, *self.measured_ratios)):
            raise ValueError("ratios lie between 1 and 64, and training needs at least one")
        return self

    @property
    def length(self) -> int:
        """Tokens of a stretch of text."""
        return self.window * self.windows + self.continuation


class JointSettings(BaseModel):
    """What a compressor and its reader are trained with by reward.

    Args:
        model: The model: a name or a path.
        compressor: Folder of a trained compressor to go on from; ``None`` begins with a new one.
        schedule: How long, how fast.
        seed: Decides questions and replies.
        questions: Questions in a step.
        group: Replies to each question.
        ratios: A step draws one of these.
        facts: Facts in a text.
        filler: Sentences around them.
        hops: Facts that lead to an answer.
        parts: Parts of a text that are compressed each on its own and read together.
        reply_tokens: Most tokens of a reply.
        reader_rank: Rank of the reader's projections; 0 leaves the reader as it is.
        frozen: Whether the compressor stays as it is, for comparison.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    compressor: Path | None = None
    schedule: Schedule
    seed: int = 0
    questions: int = Field(default=4, ge=1)
    group: int = Field(default=16, ge=2)
    ratios: tuple[float, ...] = (4,)
    facts: int = Field(default=3, ge=1, le=10)
    filler: int = Field(default=6, ge=0)
    hops: Literal[1, 2] = 1
    parts: int = Field(default=1, ge=1)
    reply_tokens: int = Field(default=2, ge=1)
    reader_rank: int = Field(default=8, ge=0)
    frozen: bool = False

    @model_validator(mode="after")
    def _check_trained(self) -> JointSettings:
        if self.frozen and not self.reader_rank:
            raise ValueError("with a frozen compressor and no rank for the reader there is nothing to train")
        if not self.ratios or not all(1 <= ratio <= 64 for ratio in self.ratios):
            raise ValueError("ratios lie between 1 and 64, and training needs at least one")
        return self


def make_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings from what the user wrote.

    Raises:
        InputError: If one is out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"Unusable settings: {first_fault(error)}.", "See the command's --help.") from error


def write_settings(folder: Path, settings: BaseModel) -> None:
    """Keep the settings, for going on."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{SETTINGS}.part"
    beside.write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    beside.replace(folder / SETTINGS)


def read_settings(kind: type[Settings], folder: Path) -> Settings:
    """The settings that a training began with.

    Raises:
        InputError: If there is none.
    """
    try:
        return kind.model_validate_json((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"There is no training of this kind to go on with in {folder}."
        raise InputError(msg, "Name the folder that it began with, or begin without --resume.") from error
