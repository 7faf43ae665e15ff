"""``rereader train gate``: from questions with marked facts to a trained gate with its thresholds and metrics."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from rereader.evals.environment import describe_environment
from rereader.models.base import Cancel
from rereader.models.calibration import Calibration
from rereader.models.extras import require_local
from rereader.models.gatehead import PROBES
from rereader.models.installed import locate
from rereader.runs.session import Session
from rereader.schema import InputError, StoreError
from rereader.training.gate_calibration import Floats, calibrate, curve, metrics
from rereader.training.gate_cases import Case, make_cases
from rereader.training.gate_head import HeadSettings, train_head
from rereader.training.gate_texts import GENERATOR, SOURCES, data_hash, read_questions

Told = Callable[[str, int, int], None]


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class GatePlan:
    """What a gate is trained on and how.

    Args:
        data: The folder of the benchmark data.
        sources: Sets of questions.
        questions: Most questions, drawn from all sets; all of the development half by default.
        rounds: How often each is put, in texts that are cut and compressed in different ways.
        seed: Decides everything that is drawn.
    """

    data: Path
    sources: tuple[str, ...] = SOURCES
    questions: int | None = None
    rounds: int = 2
    seed: int = 0

    def read(self) -> list[dict[str, Any]]:
        """The questions.

        Raises:
            InputError: If a set is unknown, or its data is not here.
        """
        rows = read_questions(self.data, self.sources)
        if self.questions is None or self.questions >= len(rows):
            return rows
        return Random(f"gate questions:{self.seed}").sample(rows, self.questions)


def gate_cases(
    plan: GatePlan, rows: Sequence[Mapping[str, Any]], session: Session, told: Told, cancel: Cancel | None
) -> list[Case]:
    """The labelled cases of a plan's questions."""

    def texts(done: int, total: int) -> None:
        told("texts", done, total)

    fixed = {"rounds": plan.rounds, "seed": plan.seed}
    return make_cases(rows, session.models, session.counter, **fixed, told=texts, cancel=cancel)


def train_gate_head(
    plan: GatePlan, session: Session, out: Path, told: Told = _silent, cancel: Cancel | None = None
) -> dict[str, Any]:
    """Train the head over frozen features, write it to ``out`` and its curve beside it; returns what came of it.

    Raises:
        Interrupted: If ``cancel`` is set; then nothing is written.
        MissingExtra: If torch is not installed.
        StoreError: If the file cannot be written.
    """
    require_local()
    rows, settings = plan.read(), HeadSettings(seed=plan.seed)
    cases = gate_cases(plan, rows, session, told, cancel)
    embedder = session.models.embedder

    def passes(done: int, total: int) -> None:
        told("passes", done, total)

    head, held = train_head(cases, settings, embedder.embed(list(PROBES)), passes, cancel)
    about = {
        "embedder": embedder.name,
        "embedder_fingerprint": embedder.fingerprint,
        "split": f"{settings.folds} folds of the development half, each scored by the network not trained on it",
        "training": asdict(settings),
        **_about(plan, rows, cases, held, head.calibration),
    }
    _write(out, lambda: replace(head, about=about).write(out))
    return _finish(out, about, cases, held, head.calibration)


def train_gate_lora(
    plan: GatePlan,
    session: Session,
    scorer: tuple[str, Path],
    out: Path,
    told: Told = _silent,
    cancel: Cancel | None = None,
    *,
    steps: int,
) -> dict[str, Any]:
    """Train adapters for a scorer, write them to the folder ``out`` and their curve into it.

    Args:
        plan: What is trained on.
        session: Has the embedder.
        scorer: The scorer's name, and the folder of models.
        out: The folder.
        told: Is told the stage, what is done of it and how much there is.
        cancel: Stops.
        steps: Steps of the optimiser.

    Raises:
        Interrupted: If ``cancel`` is set; then nothing is written.
        MissingExtra: If ``peft`` is not installed.
        StoreError: If the folder cannot be written.
    """
    name, models_dir = scorer
    folder = locate(name, models_dir)
    from rereader.models.gatelora import require_peft, save_lora
    from rereader.models.loading import load_parts
    from rereader.training.gate_lora import LoraSettings, train_lora

    require_peft()
    how = LoraSettings(steps=steps, seed=plan.seed)
    parts = load_parts(folder, "auto", "float32", None, None, "")
    rows = plan.read()
    cases = gate_cases(plan, rows, session, told, cancel)
    run = train_lora(parts.model, parts.tokenizer, cases, how, lambda done, all_: told("steps", done, all_), cancel)
    calibration = calibrate(run.checked, run.raw)
    about = {
        "scorer": name,
        "scorer_weights": parts.weights_sha256,
        "split": f"{len(run.checked)} cases of a fifth of the development half's questions, not trained on",
        "training": asdict(how),
        "losses": [round(loss, 4) for loss in run.losses],
        **_about(plan, rows, run.checked, run.raw, calibration),
    }
    _write(out, lambda: save_lora(out, run.reader, calibration, about))
    return _finish(out / "gate", about, run.checked, run.raw, calibration)


def _about(
    plan: GatePlan,
    rows: Sequence[Mapping[str, Any]],
    cases: Sequence[Case],
    raw: Sequence[Floats],
    calibration: Calibration,
) -> dict[str, Any]:
    environment = describe_environment()
    return {
        "data": {
            "sources": list(plan.sources),
            "sha256": data_hash(plan.data, plan.sources),
            "half": "detect",
            "generator": GENERATOR,
        },
        "questions": len(rows),
        "cases": len(cases),
        "memories": sum(len(case.labels) for case in cases),
        "rounds": plan.rounds,
        "seed": plan.seed,
        "metrics": metrics(cases, raw, calibration),
        "commit": environment["commit"],
        "dirty": environment["dirty"],
        "versions": environment["packages"],
        "date": environment["date"],
    }


def _finish(
    out: Path, about: Mapping[str, Any], cases: Sequence[Case], raw: Sequence[Floats], calibration: Calibration
) -> dict[str, Any]:
    """Write the curve beside the weights, a row for each threshold; returns what the command tells."""
    rows = curve(cases, raw, calibration)
    path = out.with_suffix(".jsonl")
    lines = [{"row": "about", **about}, *({"row": "threshold", **row} for row in rows)]
    _write(path, lambda: path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"))
    return {**about, "curve": rows, "calibration": calibration.model_dump(), "curve_file": str(path)}


def _write(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        msg = f"Cannot write {path}: {error.strerror or error}."
        raise StoreError(msg, "Choose another place with --out.") from error


def check_out(path: Path, *, folder: bool) -> None:
    """Refuse a place that cannot be written before hours are spent.

    Raises:
        InputError: If it is a file where a folder is wanted, or the other way round, or may not be written.
    """
    if folder and path.is_file():
        raise InputError(f"{path} is a file.", "Adapters are written into a folder: name one with --out.")
    if not folder and path.is_dir():
        raise InputError(f"{path} is a folder.", "The gate is one file: name one with --out.")
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if not os.access(there, os.W_OK):
        raise InputError(f"{there} may not be written.", "Choose another place with --out.")
