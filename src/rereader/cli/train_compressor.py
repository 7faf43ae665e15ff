"""``rereader train compressor`` and ``rereader train joint``: learned compression of texts to keys and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rereader.cli import options
from rereader.cli.console import interruptible, notes, output, print_json
from rereader.cli.progress import listener
from rereader.config import load_config
from rereader.models.catalogue import is_path
from rereader.models.installed import own_path
from rereader.schema import Event, InputError, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rereader.schema.events import Cancelled, Listener
    from rereader.training.compressor import Trained
    from rereader.training.compressor_control import Compared
    from rereader.training.compressor_joint import Rewards

_MODEL = "smollm2-135m"
_MINUTES = 60.0
_SCHEDULE = ("steps", "minutes", "learning_rate")
Out = Annotated[Path | None, typer.Option(help="Folder of the result.", show_default="compressor-MODEL-SEED")]
Model = Annotated[str | None, typer.Option(help="The model that reads: a name or a path.", show_default=_MODEL)]
Minutes = Annotated[float | None, typer.Option(help="How long to train; 60 unless --steps says how far.")]
Steps = Annotated[int | None, typer.Option(help="How many steps to train.")]
Seed = Annotated[int | None, typer.Option(help="Decides everything that is drawn.", show_default="0")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Highest learning rate.", show_default="0.0003")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on in --out, with the settings it began with.")]
ModelsDir = Annotated[Path | None, typer.Option(help="Folder of the pulled models.")]


def compressor(
    text: Annotated[list[Path] | None, typer.Option(help="A text to train with.", show_default="sample, books")] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option(help="A text to measure with.", show_default="the end of each --text")
    ] = None,
    model: Model = None,
    out: Out = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    learning_rate: Rate = None,
    lora: Annotated[int | None, typer.Option(help="Rank of small projections in place of whole ones.")] = None,
    start: Annotated[str | None, typer.Option(help="Memory tokens begin as: token, end.", show_default="token")] = None,
    layout: Annotated[
        str | None, typer.Option(help="Memory tokens stand: beside, interleaved.", show_default="beside")
    ] = None,
    ratios: Annotated[str | None, typer.Option(help="Ratios to draw from.", show_default="2,4,8,16")] = None,
    window: Annotated[int | None, typer.Option(help="Tokens read at once.", show_default="256")] = None,
    windows: Annotated[int | None, typer.Option(help="Windows compressed in a row.", show_default="2")] = None,
    continuation: Annotated[int | None, typer.Option(help="Tokens read after them.", show_default="128")] = None,
    batch: Annotated[int | None, typer.Option(help="Stretches of text in a step.", show_default="1")] = None,
    chunks: Annotated[int | None, typer.Option(help="Unseen stretches to measure with.", show_default="8")] = None,
    measured: Annotated[str | None, typer.Option(help="Ratios to measure.", show_default="4,16")] = None,
    resume: Resume = False,
    models_dir: ModelsDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train memory tokens, which compress a text to a fraction of its keys and values, on plain text.

    The model's own weights stay as they are. The result is measured on unseen text against no memory, the whole text,
    the untrained compressor, and what training-free scorers keep in as many bytes. Every step is written to log.jsonl
    in the folder. Ctrl-C, or a crash, loses at most a minute: go on with --resume.

    For example:

    rereader train compressor --text novel.txt --text letters.txt --minutes 60

    rereader train compressor --resume --out compressor-smollm2-135m-0

    rereader ask book.txt 'Who?' -m smollm2-135m --set reads=kv --set compressor=compressor-smollm2-135m-0
    """
    given = {
        "texts": text,
        "held_out": held_out,
        "model": model,
        "seed": seed,
        "rank": lora,
        "start": start,
        "layout": layout,
        "ratios": _numbers(ratios, "--ratios"),
        "window": window,
        "windows": windows,
        "continuation": continuation,
        "batch": batch,
        "chunks": chunks,
        "measured_ratios": _numbers(measured, "--measured"),
        "steps": steps,
        "minutes": minutes,
        "learning_rate": learning_rate,
    }
    folder = _folder(out, given, resume, "compressor")
    models = load_config(models_dir=models_dir).models_dir
    with _running(folder, quiet=quiet) as (told, cancelled):
        found = _train(_given(given), folder, models, told, cancelled, resume=resume)
    _tell(found.notes)
    if json:
        print_json({"out": str(folder), "steps": found.steps, "seconds": found.seconds, "measured": found.summary})
    else:
        output().print(_table(found), markup=False)


def joint(
    compressor: Annotated[
        Path | None, typer.Option(help="Folder of a trained compressor to go on from; a new one by default.")
    ] = None,
    model: Model = None,
    out: Out = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = None,
    learning_rate: Rate = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Train the reader only, for comparison.")] = False,
    reader_rank: Annotated[int | None, typer.Option(help="Rank of the reader's projections.", show_default="8")] = None,
    questions: Annotated[int | None, typer.Option(help="Questions in a step.", show_default="4")] = None,
    group: Annotated[int | None, typer.Option(help="Replies to each question.", show_default="16")] = None,
    ratios: Annotated[str | None, typer.Option(help="Ratios to draw from.", show_default="4")] = None,
    facts: Annotated[int | None, typer.Option(help="Facts in a text.", show_default="3")] = None,
    filler: Annotated[int | None, typer.Option(help="Sentences around them.", show_default="6")] = None,
    hops: Annotated[int | None, typer.Option(help="Facts that lead to an answer: 1 or 2.", show_default="1")] = None,
    parts: Annotated[int | None, typer.Option(help="Parts compressed on their own.", show_default="1")] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Train the reader only afterwards, from the same start, and compare.")
    ] = False,
    against: Annotated[Path | None, typer.Option(help="Folder of a training with --frozen to compare with.")] = None,
    resume: Resume = False,
    models_dir: ModelsDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a compressor and its reader together, by the reward of answers that are read from compressed memory.

    Questions on facts in filler are drawn anew for every step. Several replies are written to each; what is above the
    mean of its group becomes more likely, and the gradient goes through the stored keys and values into the compressor.

    For example:

    rereader train joint --compressor compressor-smollm2-135m-0 --steps 200 --control --out joint-0

    rereader train joint --resume --out joint-0

    On two cores, the training and what it is compared with at the same time:

    rereader train joint --compressor compressor-smollm2-135m-0 --steps 200 --frozen --out joint-0-frozen

    rereader train joint --compressor compressor-smollm2-135m-0 --steps 200 --out joint-0 --against joint-0-frozen
    """
    if control and against is not None:
        raise InputError("--control trains what --against would name.", "Give one of the two.")
    given = {
        "compressor": compressor,
        "model": model,
        "seed": seed,
        "frozen": frozen or None,
        "control": control or None,
        "reader_rank": reader_rank,
        "questions": questions,
        "group": group,
        "ratios": _numbers(ratios, "--ratios"),
        "facts": facts,
        "filler": filler,
        "hops": hops,
        "parts": parts,
        "steps": steps,
        "minutes": minutes,
        "learning_rate": learning_rate,
    }
    folder = _folder(out, given, resume, "joint")
    models = load_config(models_dir=models_dir).models_dir
    with _running(folder, quiet=quiet) as (told, cancelled):
        rewards, other, hints = _train_jointly(given, folder, models, told, cancelled, against, resume=resume)
    _tell(hints)
    if json:
        values = {"first_tenth": rewards.first, "last_tenth": rewards.last, "errors": rewards.errors}
        print_json({"out": str(folder), **values, **_more(rewards, other)})
    else:
        output().print(_rewards_text(folder, rewards, other), markup=False)


def _train(
    given: Mapping[str, Any], folder: Path, models: Path, told: Listener, cancelled: Cancelled, *, resume: bool
) -> Trained:
    from rereader.training.compressor import train
    from rereader.training.compressor_base import load_base
    from rereader.training.compressor_settings import CompressorSettings, make_settings, read_settings
    from rereader.training.compressor_texts import default_texts

    if resume:
        settings = read_settings(CompressorSettings, folder)
    else:
        texts = given.get("texts") or [path.absolute() for path in default_texts(models)]
        settings = make_settings(CompressorSettings, {**given, "texts": texts})
    return train(load_base(settings.model, models), settings, folder, told, cancelled, resume=resume)


def _train_jointly(
    given: Mapping[str, Any],
    folder: Path,
    models: Path,
    told: Listener,
    cancelled: Cancelled,
    against: Path | None,
    *,
    resume: bool,
) -> tuple[Rewards, Rewards | Compared | None, tuple[str, ...]]:
    """The rewards, what they are compared with, and what could not be done."""
    from rereader.training.compressor_base import load_base
    from rereader.training.compressor_control import comparable_rewards, has_control, train_with_control
    from rereader.training.compressor_joint import train_jointly
    from rereader.training.compressor_settings import JointSettings, make_settings, read_settings

    if resume:
        settings, control = read_settings(JointSettings, folder), has_control(folder)
    else:
        values = {name: value for name, value in given.items() if name != "control"}
        settings, control = make_settings(JointSettings, _given(values)), bool(given["control"])
    other = comparable_rewards(against, settings) if against else None
    base = load_base(settings.model, models)
    if control:
        found, hints = train_with_control(base, settings, folder, told, cancelled, resume=resume)
        return found.rewards, other or found, hints
    rewards, hints = train_jointly(base, settings, folder, told, cancelled, resume=resume)
    return rewards, other, hints


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the user wrote, the schedule on its own."""
    found = {name: _in_full(value) for name, value in values.items() if value is not None and name not in _SCHEDULE}
    schedule = {name: values[name] for name in _SCHEDULE if values[name] is not None}
    if "steps" not in schedule:
        schedule.setdefault("minutes", _MINUTES)
    model = found.get("model", _MODEL)
    path = own_path(model)
    return {**found, "model": str(path.absolute()) if is_path(model) and path.exists() else model, "schedule": schedule}


def _in_full(value: Any) -> Any:
    """Paths in full, since a training may go on from another folder."""
    if isinstance(value, list):
        return [_in_full(one) for one in value]
    return value.absolute() if isinstance(value, Path) else value


def _folder(out: Path | None, given: Mapping[str, Any], resume: bool, kind: str) -> Path:
    """Where the result goes.

    Raises:
        InputError: If there is a result already, or settings were given for going on.
    """
    if resume and any(value is not None for value in given.values()):
        named = next(name for name, value in given.items() if value is not None)
        msg = f"A training goes on with the settings it began with; {named} was given."
        raise InputError(msg, "Give --resume and --out only, or begin in another folder.")
    if resume and out is None:
        raise InputError("--resume does not say what to go on with.", "Name its folder with --out.")
    name = Path(given["model"] or _MODEL).name
    folder = out or Path(f"{kind}-{name}-{given['seed'] or 0}")
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already.", "Name another folder with --out, or go on in it with --resume.")
    return folder


@contextmanager
def _running(folder: Path, *, quiet: bool) -> Iterator[tuple[Listener, Cancelled]]:
    from rereader.training.compressor_base import require_training

    require_training()
    from rereader.training.compressor_loop import alone

    with alone(folder), interruptible() as cancel, listener(quiet=quiet) as listen:
        yield _told(listen), cancel.is_set


def _told(listen: Callable[[Event], None]) -> Listener:
    """Shows progress, stage by stage."""
    seen: set[str] = set()

    def told(progress: Progress) -> None:
        if progress.stage not in seen:
            seen.add(progress.stage)
            listen(Event("step", "", 0, node=progress.stage))
        listen(Event("progress", "", 0, progress=progress))

    return told


def _numbers(text: str | None, option: str) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise InputError(f"{option} takes numbers with commas between them.", "For instance 2,4,8,16.") from error


def _tell(hints: tuple[str, ...]) -> None:
    for hint in hints:
        notes().print(f"note: {hint}", markup=False)


def _table(found: Trained) -> str:
    lines = [f"{found.folder}: {found.steps:,} steps in {found.seconds / 60:.1f} minutes."]
    for row in found.summary:
        more = "" if row["memory"] == "trained" else f"{row['more']:+.3f} ± {row['error']:.3f} over trained"
        lines.append(f"ratio {row['ratio']:g}  {row['memory']:<20} loss {row['loss']:.3f}  {more}".rstrip())
    return "\n".join(lines)


def _more(rewards: Rewards, other: Rewards | Compared | None) -> dict[str, Any]:
    """What ``--json`` says of the comparison."""
    from rereader.training.compressor_control import Compared

    if not isinstance(other, Compared):
        return {"errors_above_other": rewards.errors_above(other)} if other else {}
    control = {"first_tenth": other.control.first, "last_tenth": other.control.last, "errors": other.control.errors}
    return {"control": control, "above_control": other.more, "errors_above_other": rewards.errors_above(other.control)}


def _rewards_text(folder: Path, rewards: Rewards, other: Rewards | Compared | None) -> str:
    from rereader.training.compressor_control import Compared

    lines = [_tenths(str(folder), rewards)]
    if isinstance(other, Compared):
        mean, error = other.more
        lines.append(_tenths("Its control, with a frozen compressor", other.control))
        lines.append(f"In the last tenth it has {mean:+.3f} ± {error:.3f} over the same questions of the control.")
    elif other is not None:
        mean, error = other.last
        above = f"{rewards.errors_above(other):+.1f} errors"
        lines.append(f"The other training came to {mean:.3f} ± {error:.3f}; this one is above it by {above}.")
    return "\n".join(lines)


def _tenths(name: str, rewards: Rewards) -> str:
    first, last = (f"{mean:.3f} ± {error:.3f}" for mean, error in (rewards.first, rewards.last))
    return f"{name}: mean reward {first} in the first tenth, {last} in the last ({rewards.errors:+.1f} errors)."
