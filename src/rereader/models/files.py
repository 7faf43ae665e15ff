"""Files that are whole or absent: hashing, syncing, renaming, and disk errors said plainly."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rereader.models.base import Cancel
from rereader.schema.errors import Interrupted, StoreError

BLOCK = 4 << 20
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_OLD = ".old"
"""What a folder is called in a scratch folder while another one takes its place."""
Advance = Callable[[int], None]


def hash_file(path: Path, cancel: Cancel | None = None) -> str:
    """Sha256 of a file, as 64 hexadecimal digits.

    Raises:
        Interrupted: If ``cancel`` is set.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            check_cancel(cancel)
            digest.update(block)
    return digest.hexdigest()


def private(path: str | Path, flags: int) -> int:
    """Open a file, one that is made now for its owner only; the ``opener`` of :func:`open`.

    A file that is there keeps the rights that its user gave it.
    """
    return os.open(path, flags, PRIVATE_FILE)


def make_private(path: Path) -> None:
    """Make a file for its owner only before somebody else writes into it (SQLite, say); one that is there stays.

    That one is not even opened: closing it would take away the locks that SQLite holds on it in this process.
    """
    with suppress(FileExistsError):
        os.close(private(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL))


def write_private(path: Path, text: str) -> None:
    """Write a text that others need not see; see :func:`private`."""
    with open(path, "w", encoding="utf-8", opener=private) as file:
        file.write(text)


@contextmanager
def writing(path: Path, *, for_all: bool = True) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` when it is finished and synced.

    Args:
        path: The file.
        for_all: Whether it gets the mode of any new file of the user's; else its owner alone may read it.

    Raises:
        OSError: If it cannot be written; then ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        make_private(beside)
        yield beside
        share(beside) if for_all else beside.chmod(PRIVATE_FILE)
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def share(path: Path) -> None:
    """Give a file the mode that the user's files have; those of safetensors may be read by their owner only."""
    sample = path.with_name(f".{uuid.uuid4().hex[:8]}.part")
    try:
        sample.touch()
        path.chmod(sample.stat().st_mode & 0o777)
    finally:
        sample.unlink(missing_ok=True)


def check_cancel(cancel: Cancel | None) -> None:
    """Raise :class:`Interrupted` if ``cancel`` is set."""
    if cancel is not None and cancel.is_set():
        raise Interrupted("The pull was stopped; what is finished is kept.", "Run it again to go on.")


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into one plain :class:`StoreError`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise no_space(folder) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR}:
            msg = f"The models folder {folder} cannot be written: {error.strerror}."
            raise StoreError(msg, "Name another folder, or mend its permissions.") from error
        raise


def no_space(folder: Path, needed: int = 0) -> StoreError:
    """The error that says how much room is missing."""
    want = f" ({needed / 1e9:.1f} GB are needed)" if needed else ""
    hint = "Free some space or name a models folder on another disk."
    return StoreError(f"There is no space left in {folder}{want}.", hint)


def check_space(folder: Path, needed: int) -> None:
    """Raise :class:`StoreError` unless ``needed`` bytes are free."""
    if shutil.disk_usage(folder).free < needed:
        raise no_space(folder, needed)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give large files a second name where the file system can; copy the rest, which may be written again."""
    if Path(source).stat().st_size > BLOCK:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
    else:
        shutil.copy2(source, target)


def sync_tree(folder: Path, *, for_all: bool = True) -> None:
    """Force every file and folder below ``folder`` to the disk; if they are ``for_all``, all may read the files."""
    for path in [*folder.rglob("*"), folder]:
        if for_all and path.is_file():
            path.chmod(0o644)
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(scratch: Path, target: Path, *, for_all: bool = True) -> None:
    """Put the finished folder that has the target's name in a scratch folder into its place.

    A reader sees the old one, none, or the new one. The old one lies in the scratch folder until the new one is in its
    place, on the disk; if that fails, it goes back. Who is killed in between leaves it there: :func:`put_back`.

    Args:
        scratch: A folder of :func:`scratch_folder`.
        target: The place.
        for_all: Whether all may read the files; else they keep the rights that they have.
    """
    new, old = scratch / target.name, scratch / _OLD
    sync_tree(new, for_all=for_all)
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    _sync(scratch)
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def stranded(target: Path) -> Path | None:
    """The folder that a killed :func:`replace_folder` took out of its place before the new one was there."""
    for scratch in _scratches(target.parent, target.name):
        if (scratch / _OLD).exists() and (scratch / target.name).exists():
            return scratch / _OLD
    return None


def put_back(target: Path) -> None:
    """Give a folder its place back that a killed :func:`replace_folder` took out of it; the caller holds its lock.

    Raises:
        StoreError: If there is another one in its place by now.
    """
    old = stranded(target)
    if old is None:
        return
    if target.exists():
        msg = f"What was at {target} before lies in {old}, since replacing it was stopped halfway."
        raise StoreError(msg, "Move it elsewhere, or delete it; then run the same again.")
    old.rename(target)


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder beside the final one; leftovers of earlier, killed tries are removed, and so is this one.

    The caller holds the lock of ``name``, so leftovers belong to nobody, but for what :func:`put_back` gives its place
    back.

    Raises:
        StoreError: If that cannot be.
    """
    put_back(parent / name)
    for leftover in _scratches(parent, name):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = parent / f".{name}.tmp-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        if stranded(parent / name) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _scratches(parent: Path, name: str) -> list[Path]:
    return sorted(parent.glob(f".{glob.escape(name)}.tmp-*"))
