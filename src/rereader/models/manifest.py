"""The list of a pulled folder's files and their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from rereader.models.base import Cancel
from rereader.models.files import hash_file
from rereader.schema.errors import ModelError
from rereader.schema.types import Frozen

MANIFEST = "manifest.json"


class FileRecord(Frozen):
    """One file: sha256 and bytes."""

    sha256: str
    size: int


class Manifest(Frozen):
    """What a folder holds and what it was made from.

    ``source`` is the sha256 of the assembled file; ``packages`` are the requirement lines it came from.
    """

    version: int = 1
    name: str
    kind: str
    source: str
    packages: tuple[str, ...] = ()
    files: dict[str, FileRecord]

    @property
    def digest(self) -> str:
        """One sha256 over names and checksums of the files: identifies weights, config and tokenizer.

        A GGUF file counts as the source of the weights beside it, not as a part of them.
        """
        files = sorted(self.files.items())
        lines = [f"{name} {record.sha256}" for name, record in files if not name.endswith(".gguf")]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_manifest(folder: Path, *, name: str, kind: str, source: str, packages: tuple[str, ...] = ()) -> Manifest:
    """Hash every file of ``folder`` and write ``manifest.json`` beside them."""
    files = {
        path.relative_to(folder).as_posix(): FileRecord(sha256=hash_file(path), size=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = Manifest(name=name, kind=kind, source=source, packages=packages, files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of ``folder``, or ``None`` if it has none that can be read."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Whether every listed file is there with its size; reads no contents."""
    for name, record in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != record.size:
            return False
    return True


def verify(folder: Path, cancel: Cancel | None = None) -> Manifest:
    """Hash every listed file again.

    Raises:
        ModelError: If a file is missing or differs; names it, with the expected and the found checksum.
        Interrupted: If ``cancel`` is set.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        msg = f"{folder} has no readable {MANIFEST}, so its files cannot be checked."
        raise ModelError(msg, "Remove the folder and pull the model again.")
    mend = f"Remove {folder} and run: rereader models pull {manifest.name}"
    for name, record in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"The file {path} is missing.", mend)
        found = hash_file(path, cancel)
        if found != record.sha256:
            raise wrong_checksum(str(path), record.sha256, found, mend)
    return manifest


def wrong_checksum(what: str, expected: str, found: str, mend: str) -> ModelError:
    """The error for a file that is not the pinned one."""
    return ModelError(f"Wrong checksum of {what}: expected sha256 {expected}, found {found}.", mend)
