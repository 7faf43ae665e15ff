"""A training loop that can be killed at any moment: warm-up, cosine, clipping, checkpoints, and a log of every step."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from rereader.schema import InputError, Interrupted, ModelError, Progress
from rereader.schema.events import Cancelled, Listener
from rereader.training.compressor_log import TrainingLog
from rereader.training.compressor_settings import Schedule

CHECKPOINT = "training.pt"
LOG = "log.jsonl"
Step = Callable[[int], Mapping[str, Any]]
_FORMAT = 2
_LOCK = "training.lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder, which is made, and taken away again if nothing comes to lie in it.

    Raises:
        InputError: If another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"Another process trains in {folder}."
        raise InputError(msg, "Wait for it, or begin in another folder.") from error
    try:
        yield
    finally:
        (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):
            folder.rmdir()


@dataclass
class Counter:
    """How far a training is: steps taken, seconds spent."""

    step: int = 0
    seconds: float = 0.0


class Loop:
    """Takes steps until the schedule ends.

    Args:
        trained: What is trained.
        schedule: How long, how fast.
        folder: Where checkpoints and the log go.
        settings: All settings, as JSON; a checkpoint of other settings is refused.
    """

    def __init__(self, trained: torch.nn.Module, schedule: Schedule, folder: Path, settings: str) -> None:
        self._trained, self._schedule, self._settings = trained, schedule, settings
        self.folder, self._path = folder, folder / CHECKPOINT
        self.log = TrainingLog(folder / LOG)
        self.counter = Counter()
        self._parameters = [one for one in trained.parameters() if one.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )

    def resumed(self, wanted: bool) -> bool:
        """Go on from the checkpoint, if that is wanted and there is one yet; begin a new log otherwise.

        Raises:
            InputError: If it is damaged, or of other settings, or the training is finished.
        """
        if wanted and not self._path.exists() and any(row["kind"] == "finished" for row in self.log.rows()):
            raise InputError(f"The training in {self.folder} is finished.", "Begin another one in another folder.")
        if wanted and self._path.exists():
            self._resume()
            return True
        self.log.clear()
        return False

    def finish(self) -> None:
        """Drop the checkpoint; nothing is left to do."""
        self.log.add("finished", step=self.counter.step, seconds=self.counter.seconds)
        self._path.unlink(missing_ok=True)

    def _resume(self) -> None:
        try:
            held: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
            # As values: settings that were written down and read again have 4.0 where a default is 4.
            if held["format"] != _FORMAT or json.loads(held["settings"]) != json.loads(self._settings):
                raise ValueError("it was made with other settings")
            self._trained.load_state_dict(held["trained"])
            self._optimizer.load_state_dict(held["optimizer"])
            self.counter = Counter(**held["counter"])
        except Exception as error:  # torch.load raises whatever a damaged file makes it stumble over
            msg = f"The checkpoint {self._path} cannot be used: {str(error).splitlines()[0] if str(error) else error!r}"
            raise InputError(msg, "Begin again in another folder.") from error
        self.log.forget_after(self.counter.step)
        self.log.add("resumed", step=self.counter.step - 1)

    def save(self) -> None:
        """Write a checkpoint; a kill leaves the one before."""
        held = {
            "format": _FORMAT,
            "settings": self._settings,
            "trained": self._trained.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "counter": vars(self.counter),
        }
        beside = self._path.with_suffix(".part")
        try:
            with beside.open("wb") as file:
                torch.save(held, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        finally:
            beside.unlink(missing_ok=True)

    def run(self, step: Step, listener: Listener, cancelled: Cancelled) -> None:
        """Take the steps that are left.

        Args:
            step: Takes the number of a step, puts gradients on the parameters, and says what to log: ``loss``, perhaps
                ``tokens``, and more.
            listener: Is told how far it is.
            cancelled: Whether to stop after a step.

        Raises:
            Interrupted: If ``cancelled`` says so; a checkpoint was written.
            ModelError: If the loss is not a number.
        """
        saved = time.monotonic()
        while not self._is_done():
            self._take(step)
            stop = cancelled()
            if stop or self._is_done() or time.monotonic() - saved >= self._schedule.save_seconds:
                self.save()
                saved = time.monotonic()
            counter = self.counter
            listener(Progress("steps", counter.step, self._total(), seconds=counter.seconds))
            if stop and not self._is_done():
                raise Interrupted(
                    f"Stopped after step {counter.step:,}; it is kept.",
                    f"Go on with --resume --out {self.folder}.",
                )

    def rate(self, step: int) -> float:
        """Learning rate of a step: a linear warm-up, then a cosine to a tenth."""
        schedule = self._schedule
        if step < schedule.warm_up:
            return schedule.learning_rate * (step + 1) / schedule.warm_up
        if schedule.steps is not None:
            part = (step - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up)
        else:
            part = min(1.0, self.counter.seconds / self._most_seconds)
        return schedule.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * part)) / 2)

    def _take(self, step: Step) -> None:
        counter, started, worked = self.counter, time.monotonic(), time.process_time()
        rate = self.rate(counter.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        measured = step(counter.step)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._schedule.clip))
        if not math.isfinite(measured["loss"]) or not math.isfinite(norm):
            raise ModelError(
                f"The loss of step {counter.step:,} is not a number.", "Lower --learning-rate, and begin again."
            )
        self._optimizer.step()
        seconds = time.monotonic() - started
        counter.seconds += seconds
        spent = {"seconds": round(seconds, 3), "cpu_seconds": round(time.process_time() - worked, 3)}
        self.log.add("step", step=counter.step, **measured, norm=norm, rate=rate, **spent)
        counter.step += 1

    @property
    def _most_seconds(self) -> float:
        return math.inf if self._schedule.minutes is None else self._schedule.minutes * 60

    def _total(self) -> int:
        """Steps in all; where time ends the training, as many as there will be at the pace so far."""
        counter = self.counter
        if self._schedule.steps is not None:
            return self._schedule.steps
        return max(counter.step, round(counter.step * self._most_seconds / max(1e-9, counter.seconds)))

    def _is_done(self) -> bool:
        counter, steps = self.counter, self._schedule.steps
        return counter.step >= steps if steps is not None else counter.seconds >= self._most_seconds
