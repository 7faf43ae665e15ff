"""ZIP archives, within limits: nothing is written, and nothing unpacks to more than is allowed."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from rereader.schema.errors import InputError
from rereader.tools.formats.base import MAX_RATIO, RATIO_FROM, Options, TooLarge, bomb, damaged

MAX_FILES = 10_000

UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
"""What reading a damaged or encrypted member may raise; ``NotImplementedError`` is a ``RuntimeError``."""

_CENTRAL_ENTRY = b"PK\x01\x02"
_HARDLY_PARSED = 500_000
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_UNSAID = 0xFFFF
_OFFICE = (("xl/", "an XLSX table"), ("ppt/", "a PPTX presentation"))
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|^[A-Za-z]:")
_ENCRYPTED = 0x1
_HEAD = 4096


def container_kind(data: bytes) -> str:
    """What a ZIP file holds: ``epub``, ``docx``, ``zip`` or, in words, what Rereader does not read."""
    head = data[:_HEAD]
    if b"mimetypeapplication/epub+zip" in head:
        return "epub"
    if _OPEN_DOCUMENT in head:
        return "an OpenDocument file"
    names = _names(data)
    if names is None:
        return "docx" if b"word/" in head else "zip"
    if "META-INF/container.xml" in names:
        return "epub"
    if "[Content_Types].xml" in names:
        if any(name.startswith("word/") for name in names):
            return "docx"
        return next((kind for prefix, kind in _OFFICE if any(name.startswith(prefix) for name in names)), "zip")
    return "zip"


def unpacked_size(data: bytes) -> int:
    """Bytes that the members of a ZIP file say they unpack to; 0 if it cannot be read, which reading it will tell."""
    if _claimed(data) > MAX_FILES:
        return 0
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return 0


def open_archive(data: bytes, name: str, kind: str, options: Options) -> zipfile.ZipFile:
    """Open an archive that keeps the limits on files, unpacked bytes and packing ratio.

    Raises:
        InputError: If it is damaged or does not keep them.
    """
    if _claimed(data) > MAX_FILES:
        raise _too_many(name, f"{_claimed(data):,}")
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise damaged(name, kind) from error
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise _too_many(name, f"{len(entries):,}")
    if sum(entry.file_size for entry in entries) > options.max_bytes:
        msg = f"{name} unpacks to more than {options.max_bytes / 2**20:,.1f} MiB."
        raise TooLarge(msg, "Unpack it and add its parts one by one.")
    for entry in entries:
        if entry.file_size > RATIO_FROM and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise bomb(f"{name}/{cleaned(entry.filename)}")
    return archive


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, password: str | None = None) -> bytes:
    """The bytes of one member, whose name in errors is ``name``.

    Raises:
        InputError: If it is damaged, or encrypted and the password is missing or wrong.
    """
    encrypted = bool(entry.flag_bits & _ENCRYPTED)
    if encrypted and password is None:
        raise InputError(f"{name} is encrypted.", "Give its password with --password.")
    try:
        return archive.read(entry, pwd=password.encode() if encrypted and password is not None else None)
    except NotImplementedError as error:
        msg = f"{name} is packed or encrypted in a way that is not supported."
        raise InputError(msg, "Unpack it and give the folder.") from error
    except UNREADABLE as error:
        if encrypted:
            raise InputError(f"The password does not open {name}.", "Check --password.") from error
        raise damaged(name, "file of a ZIP archive") from error


def members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files of an archive with their names made safe, sorted; hidden ones are passed over as in a folder."""
    entries = [entry for entry in archive.infolist() if entry.filename]  # without a name is_dir() fails
    named = [(cleaned(entry.filename), entry) for entry in entries if not entry.is_dir()]
    for name, entry in sorted(named, key=lambda pair: pair[0]):
        parts = name.split("/")
        if name and not any(part.startswith(".") for part in parts) and parts[0] != "__MACOSX":
            yield name, entry


def cleaned(name: str) -> str:
    """A member's name as a relative path that can be printed: no drive, no root, no way up, no control characters."""
    plain = _UNSAFE.sub("", name.replace("\\", "/").encode("utf-8", "replace").decode())
    return "/".join(part for part in plain.split("/") if part not in ("", ".", ".."))


def _names(data: bytes) -> set[str] | None:
    if _claimed(data) > MAX_FILES:
        return None
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None


def _claimed(data: bytes) -> int:
    """How many files an archive says it holds, found without parsing it; more if it holds far more than it says."""
    end = data.rfind(_END)
    said = int.from_bytes(data[end + 10 : end + 12], "little") if end >= 0 else 0
    end_64 = data.rfind(_END_64, 0, max(end, 0))
    if said == _UNSAID and end_64 >= 0:
        said = int.from_bytes(data[end_64 + 32 : end_64 + 40], "little")
    found = data.count(_CENTRAL_ENTRY)
    return max(said, found) if found > _HARDLY_PARSED else said


def _too_many(name: str, count: str) -> InputError:
    msg = f"{name} holds {count} files; at most {MAX_FILES:,} are read."
    return InputError(msg, "Unpack it and add the parts that matter.")
