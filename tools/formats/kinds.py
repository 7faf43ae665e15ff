"""Which reader a file needs: its first bytes decide, then its name."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath

from rereader.schema.errors import RereaderError
from rereader.tools.formats.archive import container_kind, unpacked_size
from rereader.tools.formats.base import Options, Parsed, broken

ARCHIVE = "zip"
PACKED = frozenset({"pdf", "epub", "docx"})
"""Formats that become one document and are not text to begin with."""

LOADERS = {
    "pdf": "pdf/1",
    "epub": "epub/1",
    "docx": "docx/1",
    "html": "html/1",
    "subtitles": "subtitles/1",
    "table": "table/1",
    "jsonl": "jsonl/1",
    "markdown": "markdown/1",
}
"""Loader (kind and version) of every format that becomes one document."""

_SUFFIXES = {
    "html": ".html .htm .xhtml .xht",
    "subtitles": ".srt .vtt .ass .ssa",
    "table": ".csv .tsv .tab",
    "jsonl": ".jsonl .ndjson",
    "markdown": ".md .markdown .mdown .mdx .qmd .rmd",
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_ANY_SIZE = frozenset({"pdf"})
"""Formats that do not say what they unpack to."""
MAX_HERE = 4 * 2**20
"""Files that are larger after unpacking are read in a process of their own: an element of 3 bytes takes a hundred."""
_HEAD = 1024
_STARTS = {"html": (b"<!doctype html", b"<html"), "subtitles": (b"webvtt",)}


def kind_by_name(name: str) -> str | None:
    """The format that a file's name says; ``None`` for plain text, source code and anything unknown."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def packed_by_name(name: str) -> str | None:
    """The packed format that a file's name says, in capitals; ``None`` for all others."""
    suffix = PurePath(name).suffix.lower().removeprefix(".")
    return suffix.upper() if suffix in PACKED else None


def kind_of(data: bytes, name: str) -> str | None:
    """The format of a file: a key of :data:`LOADERS`, :data:`ARCHIVE`, or ``None`` for plain text and the unreadable.

    Text formats without a telling name (standard input, say) are known by how they begin.
    """
    if data.startswith(b"%PDF-") or (name.lower().endswith(".pdf") and b"%PDF-" in data[:_HEAD]):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind = container_kind(data)
        return kind if kind in LOADERS or kind == ARCHIVE else None
    named = kind_by_name(name)
    if named or PurePath(name).suffix:
        return named
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for kind, starts in _STARTS.items() if head.startswith(starts)), None)


def read(kind: str, data: bytes, name: str, options: Options) -> Parsed:
    """Read a document of a known format; ``name`` is what errors call it.

    Raises:
        InputError: If it is damaged, encrypted, too large or holds no text, takes too much memory or time, or its
            reader fails in a way that is not ours.
        MissingExtra: If the packages that read this format are not installed.
    """
    if options.apart is not None and (kind in _ANY_SIZE or _size(kind, data) > MAX_HERE):
        return options.apart.read(kind, data, name, options)
    try:
        return load(kind, data, name, options)
    except RereaderError:
        raise
    except Exception as error:
        raise broken(name, error) from error


def load(kind: str, data: bytes, name: str, options: Options) -> Parsed:
    """The same, in this process whatever the size, and with the reader's own failures as they are."""
    parsed: Parsed = import_module(f"rereader.tools.formats.{kind}").load(data, name, options)
    return parsed


def _size(kind: str, data: bytes) -> int:
    """Bytes of a file after unpacking, as far as they are told."""
    return unpacked_size(data) if kind in PACKED else len(data)
