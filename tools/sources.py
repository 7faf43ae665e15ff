"""Where bytes come from: files, gzip, standard input, folders. Everything is read up to a limit."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import BinaryIO

from rereader.schema.errors import InputError
from rereader.tools.formats.base import MAX_RATIO, RATIO_FROM, bomb

_BLOCK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file, unpacked when it is gzip (known by its first bytes, not by its name).

    Raises:
        InputError: If the file is missing, unreadable, damaged, or (unpacked) larger than ``max_bytes``.
    """
    name = display(path)
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > max_bytes:
                raise _too_large(name, max_bytes)
            return read_stream(stream, name, max_bytes)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {name}.", "Check the path.") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read.", "Change its permissions (chmod u+r).") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name} cannot be read: {reason}.", "Check the path.") from error


def read_stream(stream: BinaryIO, name: str, max_bytes: int) -> bytes:
    """All bytes of a stream, unpacked when they are gzip; at most ``max_bytes`` after unpacking.

    Raises:
        InputError: If there are more, or if the gzip data are damaged or cut off.
    """
    data = _read(stream, name, max_bytes)
    if not data.startswith(_GZIP_MAGIC):
        return data
    return _unpack(data, name, max_bytes)


def walk(folder: Path) -> Iterator[Path]:
    """The regular files below ``folder``, sorted; hidden ones and links to folders are passed over."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(entry for entry in folders if not entry.startswith("."))
        for entry in sorted(files):
            path = Path(root) / entry
            if not entry.startswith(".") and path.is_file():
                yield path


def size_of(path: Path) -> int:
    """Bytes of a file on disk; 0 if it cannot be looked at, which reading it will tell."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def display(path: Path) -> str:
    """The path as text that can be printed and stored, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "replace")


def _read(stream: BinaryIO | BufferedIOBase, name: str, max_bytes: int, likely: int | None = None) -> bytes:
    """All bytes of a stream; more than are ``likely`` after unpacking are refused as a bomb."""
    blocks, size = [], 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > max_bytes:
            raise _too_large(name, max_bytes)
        if likely is not None and size > likely:
            raise bomb(name)
        blocks.append(block)
    return b"".join(blocks)


def _unpack(data: bytes, name: str, max_bytes: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as stream:
            return _read(stream, name, max_bytes, max(RATIO_FROM, MAX_RATIO * len(data)))
    except EOFError as error:
        msg = f"{name} is a gzip file that was cut off."
        raise InputError(msg, "Download or pack it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{name} is a damaged gzip file.", "Download or pack it again.") from error


def _too_large(name: str, max_bytes: int) -> InputError:
    limit = f"{max_bytes / 2**20:,.0f} MiB" if max_bytes >= 2**20 else f"{max_bytes:,} bytes"
    return InputError(f"{name} holds more than {limit}.", "Split it and add the parts.")
