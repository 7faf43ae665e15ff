"""What every format shares: options, the result, a builder that keeps places and offsets together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rereader.schema.errors import InputError, MissingExtra
from rereader.schema.types import Place, PlaceKind

if TYPE_CHECKING:
    from rereader.tools.formats.apart import Apart

MAX_BYTES = 512 * 2**20
MAX_RATIO = 200
RATIO_FROM = 16 * 2**20
"""What unpacks to more than this many bytes may not be packed tighter than ``MAX_RATIO`` to 1."""
UNDECODED = "none"
"""Stands for the encoding of formats that leave nothing to decode."""

_BETWEEN = " › "
_LABEL = 120
_SAID = 120
_NO_TEXT = re.compile("\r\n?|[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Options:
    """How to read.

    Args:
        encoding: Of text formats; found out when left out.
        password: For encrypted files.
        max_bytes: Most bytes of a file after unpacking, and most characters of a text.
        apart: Reads large files and those of unknown size; without it they are read in this process.
    """

    encoding: str | None = None
    password: str | None = None
    max_bytes: int = MAX_BYTES
    apart: Apart | None = None


@dataclass(frozen=True)
class Parsed:
    """A document's text, the places in it, what the reader should know, and what it was decoded with."""

    text: str
    places: tuple[Place, ...] = ()
    warnings: tuple[str, ...] = ()
    encoding: str = UNDECODED


@dataclass
class TextBuilder:
    """Puts a text together piece by piece; ``length`` is the offset at which the next piece begins."""

    name: str
    limit: int = MAX_BYTES
    length: int = 0
    places: list[Place] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Append; line ends become LF, zero characters and lone surrogates U+FFFD.

        Raises:
            InputError: If the text grows past the limit.
        """
        piece = _NO_TEXT.sub(_mended, text)
        self._pieces.append(piece)
        self.length += len(piece)
        if self.length > self.limit:
            msg = f"{self.name} unpacks to more than {self.limit:,} characters."
            raise TooLarge(msg, "Split it and add the parts.")

    def mark(self, kind: PlaceKind, label: str, at: int | None = None) -> None:
        """Say which place begins at an offset (here, if none is given). An empty label marks nothing."""
        label = " ".join(_NO_TEXT.sub(_mended, label).split())
        if label:
            start = self.length if at is None else at
            self.places.append(Place.model_construct(kind=kind, start=start, label=label))

    def build(self, warnings: tuple[str, ...] = (), encoding: str = UNDECODED) -> Parsed:
        """The whole text and its places in order."""
        places = sorted(self.places, key=lambda place: place.start)
        return Parsed("".join(self._pieces), tuple(places), warnings, encoding)


@dataclass
class HeadingPath:
    """The headings that are open at a point of a document."""

    _open: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, level: int, title: str) -> str:
        """The path with a heading of this level (1 is the highest) in place of its equals and all below them."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, title))
        return path_label([title for _, title in self._open])


def path_label(titles: list[str] | tuple[str, ...]) -> str:
    """Headings from the highest to the lowest, as one label."""
    short = (" ".join(title.split()) for title in titles)
    return _BETWEEN.join(title if len(title) <= _LABEL else f"{title[:_LABEL]}…" for title in short if title)


@contextmanager
def needs(feature: str) -> Iterator[None]:
    """Turn a missing package into the advice to install the ``documents`` extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(feature, "documents") from error


class TooLarge(InputError):
    """A file that unpacks to more than is allowed."""


def bomb(name: str) -> InputError:
    """The error for what is packed much tighter than a text can be."""
    msg = f"{name} unpacks to more than {MAX_RATIO} times its size."
    return InputError(msg, "That looks like a decompression bomb; unpack it yourself if you trust it.")


def damaged(name: str, kind: str, reason: str = "") -> InputError:
    """The error for a file that is not what it claims to be."""
    why = f" ({reason})" if reason else ""
    hint = "Download or make it again, or give its text as a text file."
    return InputError(f"{name} is a damaged {kind}{why}.", hint)


def broken(name: str, error: Exception) -> InputError:
    """The error for a file that its reader, which is somebody else's, did not expect."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    reason = said if len(said) <= _SAID else f"{said[:_SAID]}…"
    hint = "Download or make it again, or give its text as a text file."
    return InputError(f"{name} cannot be read: its reader failed ({reason.rstrip(': ')}).", hint)


def without_text(name: str) -> InputError:
    """The error for a sound file in which there is nothing to read."""
    return InputError(f"{name} holds no readable text.", "Give a file that holds text.")


def _mended(found: re.Match[str]) -> str:
    return "\n" if found[0].startswith("\r") else "\N{REPLACEMENT CHARACTER}"
