"""Find what was pulled, and turn a model's name into the folder it lies in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from rereader.models.base import Cancel
from rereader.models.catalogue import Catalogue, is_path, load_catalogue
from rereader.models.child import run_module
from rereader.models.files import check_cancel, disk_errors, hash_file, replace_folder, scratch_folder
from rereader.models.hub import from_cache, is_hub_id
from rereader.models.manifest import Manifest, is_whole, read_manifest, write_manifest
from rereader.models.runtimes import split_mark
from rereader.schema.errors import InputError, MissingExtra, ModelError

_LOCK_SECONDS = 0.5
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(frozen=True)
class InstalledModel:
    """A pulled model or document: its name, folder and manifest."""

    name: str
    path: Path
    manifest: Manifest


def installed(models_dir: Path) -> list[InstalledModel]:
    """Everything below ``models_dir`` that was pulled whole, by name; contents are not hashed (see ``verify``)."""
    found = []
    for folder in sorted(models_dir.iterdir()) if models_dir.is_dir() else []:
        manifest = read_manifest(folder)
        if manifest is not None and is_whole(folder, manifest) and not folder.name.startswith("."):
            found.append(InstalledModel(manifest.name, folder, manifest))
    return found


def locate(
    name: str,
    models_dir: Path,
    *,
    catalogue: Catalogue | None = None,
    weights: bool = True,
    cancel: Cancel | None = None,
) -> Path:
    """The folder of a model.

    Args:
        name: A catalogue name or alias, a hub id that was downloaded, the path of a Hugging Face model folder, or the
            path of a GGUF file, which is converted once into ``models_dir``; a runtime's mark after it is ignored.
        models_dir: Where pulled models lie.
        catalogue: The known names; by default those that come with the package.
        weights: Whether the weights are needed; without them, only a GGUF file's tokenizer and config are converted.
        cancel: Stops a conversion.

    Raises:
        InputError: If the name is unknown, was not pulled, or the path is not a model.
        ModelError: If the pulled folder is incomplete or a GGUF file cannot be converted.
    """
    name, _ = split_mark(name)
    if is_hub_id(name):
        return from_cache(name)
    if is_path(name):
        return _own(own_path(name), models_dir, weights, cancel)
    entry = (catalogue or load_catalogue()).find(name)
    folder = models_dir / entry.name
    pull = f"rereader models pull {entry.name}"
    if not folder.is_dir():
        raise InputError(f"The model {entry.name} is not installed in {models_dir}.", f"Run: {pull}")
    manifest = read_manifest(folder)
    if manifest is None or not is_whole(folder, manifest):
        raise ModelError(f"The model folder {folder} is incomplete.", f"Run: {pull}")
    return folder


def own_path(name: str) -> Path:
    """A path that the user wrote, ``~`` resolved.

    Raises:
        InputError: If it names the home of an unknown user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InputError(f"{name} names a home folder that is not here.", "Write the path out.") from error


def own_gguf(name: str) -> Path | None:
    """The user's own GGUF file that a name means, if it means one."""
    path = own_path(split_mark(name)[0])
    return path.resolve() if path.suffix.lower() == ".gguf" and path.is_file() else None


def _own(path: Path, models_dir: Path, weights: bool, cancel: Cancel | None) -> Path:
    if path.is_dir():
        if (path / "config.json").is_file() or (path / "modules.json").is_file():
            return path
        msg = f"The folder {path} holds no model (no config.json)."
        raise InputError(msg, "Name a Hugging Face model folder.")
    if path.is_file() and path.suffix.lower() == ".gguf":
        return _converted(path.resolve(), models_dir, weights, cancel)
    raise InputError(f"There is no model at {path}.", "Name a model folder or a .gguf file.")


def _converted(source: Path, models_dir: Path, weights: bool, cancel: Cancel | None) -> Path:
    """Convert a GGUF file of the user's own; one that was changed since is converted anew."""
    state = source.stat()
    key = hashlib.sha256(f"{source} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]
    name = f"{source.stem}-{key}" + ("" if weights else "-tokenizer")
    target = models_dir / ".converted" / name
    with disk_errors(models_dir):
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(models_dir, name, cancel):
            manifest = read_manifest(target)
            if manifest is None or not is_whole(target, manifest):
                with scratch_folder(target.parent, name) as scratch:
                    convert(source, scratch / name, cancel, weights=weights)
                    write_manifest(scratch / name, name=name, kind="generate", source=hash_file(source, cancel))
                    replace_folder(scratch, target)
    return target


def convert(source: Path, target: Path, cancel: Cancel | None = None, *, weights: bool = True) -> None:
    """Convert a GGUF file into the new folder ``target`` in a process of its own.

    Raises:
        MissingExtra: If torch, transformers or gguf are not installed.
        ModelError: If the conversion fails.
        Interrupted: If ``cancel`` is set.
    """
    target.mkdir()
    arguments = [str(source), str(target), *([] if weights else ["--no-weights"])]
    code, output = run_module("rereader.models.convert", arguments, environment=_QUIET, cancel=cancel)
    if code == 0:
        return
    last = (output.strip().splitlines() or [""])[-1]
    try:
        kind, message, hint = json.loads(last)
    except ValueError:
        reason = "its process was killed, perhaps for want of memory" if code < 0 else last
        msg = f"Converting {source.name} failed: {reason}."
        raise ModelError(msg, "Free some memory and try again, or use a smaller model.") from None
    if kind == MissingExtra.__name__:
        raise MissingExtra("Converting a GGUF file", "local")
    raise ModelError(message, hint)


@contextmanager
def held(models_dir: Path, name: str, cancel: Cancel | None) -> Iterator[None]:
    """Hold the lock of one model, so that two processes never write it at once; waits for the other.

    Raises:
        Interrupted: If ``cancel`` is set while waiting.
    """
    folder = models_dir / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{name}.lock")
    while True:
        check_cancel(cancel)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
            break
        except filelock.Timeout:
            continue
    try:
        yield
    finally:
        lock.release()
