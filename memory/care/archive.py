"""The one file of a backup: a ZIP with a manifest that names every part with its size and sha256.

Names are an allow-list, parts are read as bytes and written under names of ours, so nothing in a file from elsewhere
can be put anywhere but into the folder that is restored.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rereader.memory.care.depth import Meter
from rereader.schema import InputError

FORMAT = 1
MANIFEST = "manifest.json"
LIBRARY = "library.db"
BLOCK = 1 << 20
_NAMES = re.compile(
    r"library\.db|runs/[0-9a-f]{4,64}\.sqlite|kv/[0-9a-f]{2}/[0-9a-f]{64}\.safetensors|kv/[0-9a-f.-]{8,255}\.safetensors",
    re.ASCII,
)
_MOST_MANIFEST = 64 << 20
_NOT_OURS = "Name a file that 'rereader backup' has written."


class Part(BaseModel):
    """What a part of the archive must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """What an archive holds.

    Args:
        format: Version of this form.
        rereader: The version that wrote it.
        schema_version: That of its library.
        created_at: When, in seconds since 1970.
        parts: By name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    rereader: str
    schema_version: int
    created_at: float
    parts: dict[str, Part]

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts.values())


def is_part(name: str) -> bool:
    """Whether a part of a backup may have this name."""
    return _NAMES.fullmatch(name) is not None


def read_manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """The manifest of an archive, which names just the parts that are there.

    Raises:
        InputError: If it is none of ours, or was made by a newer version.
    """
    names = archive.namelist()
    if MANIFEST not in names or archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST:
        raise InputError(f"{path} is no backup of a workspace.", _NOT_OURS)
    try:
        manifest = Manifest.model_validate_json(archive.read(MANIFEST))
    except (ValidationError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} has no manifest that can be read.", _NOT_OURS) from error
    if manifest.format > FORMAT:
        raise InputError(f"{path} was written by a newer Rereader ({manifest.rereader}).", "Upgrade Rereader.")
    parts = [name for name in names if name != MANIFEST]
    wrong = sorted(name for name in {*parts, *manifest.parts} if not is_part(name))
    if wrong:
        raise InputError(f"{path} holds a part that no workspace has: {wrong[0]!r}.", _NOT_OURS)
    if sorted(parts) != sorted(manifest.parts) or LIBRARY not in manifest.parts:
        raise InputError(f"{path} does not hold what its manifest names.", "It is damaged; take another backup.")
    return manifest


def put(archive: zipfile.ZipFile, name: str, file: IO[bytes], meter: Meter) -> Part:
    """Add a file that is open; returns what was written. Tensors are stored as they are, all else is compressed."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_STORED if name.startswith("kv/") else zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    digest, size = hashlib.sha256(), 0
    with archive.open(info, "w", force_zip64=True) as goal:
        for block in _blocks(file):
            goal.write(block)
            digest.update(block)
            size += len(block)
            meter.advance(len(block))
    return Part(bytes=size, sha256=digest.hexdigest())


def parts_of(archive: zipfile.ZipFile, parts: Mapping[str, Part], path: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each part's name with its bytes, which are checked while they are read; read each before the next.

    Raises:
        InputError: If a part is damaged, or larger than the manifest says.
    """
    for name, part in parts.items():
        yield name, _checked(archive, name, part, path)


def _checked(archive: zipfile.ZipFile, name: str, part: Part, path: Path) -> Iterator[bytes]:
    damaged = InputError(f"{path} is damaged: {name} is not what was saved.", "Take another backup.")
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open(name) as file:
            for block in _blocks(file):
                digest.update(block)
                size += len(block)
                if size > part.bytes:
                    raise damaged
                yield block
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise damaged from error
    if size != part.bytes or digest.hexdigest() != part.sha256:
        raise damaged


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
