"""Load text documents: plain text, gzip, Markdown, source code, a folder, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from rereader.schema.errors import InputError
from rereader.tools.decoding import binary_kind, decode, refuse_binary
from rereader.tools.sources import display, read_file, read_stream, walk

MAX_BYTES = 512 * 2**20

_MARKDOWN = frozenset({".md", ".markdown", ".mdown", ".mdx", ".qmd", ".rmd"})
_SUFFIXES = """
    .py .pyi .ipynb .js .mjs .jsx .ts .tsx .c .h .cc .cpp .cxx .hh .hpp .cs .java .kt .kts .scala .go .rs .rb .php
    .pl .pm .lua .r .jl .swift .m .mm .hs .ml .mli .ex .exs .erl .clj .cljs .lisp .el .scm .f90 .f .pas .sql .sh
    .bash .zsh .fish .ps1 .bat .cmake .mk .gradle .proto .graphql .vue .svelte .css .scss .toml .yaml .yml .json
    .xml .ini .cfg .tf .dart .zig .nim .asm .s .v .vhd .sol
"""
_SOURCE_CODE = frozenset(_SUFFIXES.split())


@dataclass(frozen=True)
class LoadedText:
    """One text, normalised: decoded, without byte order mark, CRLF made LF, nothing else.

    Args:
        text: The text; offsets into it are code points.
        title: The file's name (inside a folder: its path below it) without ``.gz``.
        source: Where it came from, fit to be shown.
        encoding: What it was decoded with.
        loader: Kind and version of the loader: ``text/1``, ``markdown/1`` or ``source-code/1``.
        warnings: One line each; for a folder the first text carries the folder's.
    """

    text: str
    title: str
    source: str
    encoding: str
    loader: str
    warnings: tuple[str, ...] = ()


@dataclass
class _Skipped:
    """What was left out of a folder."""

    binary: int = 0
    empty: int = 0
    unusable: int = 0
    first: str = ""

    def note(self, error: InputError) -> None:
        """Count a file that could not be used; the first one is named."""
        self.unusable += 1
        self.first = self.first or error.message

    def warnings(self) -> tuple[str, ...]:
        """One line per kind."""
        counted = ((self.binary, "binary"), (self.empty, "empty"))
        lines = [f"skipped {count:,} {kind} file{'s' if count > 1 else ''}" for count, kind in counted if count]
        if self.unusable:
            lines.append(f"skipped {self.unusable:,} unreadable file{'s' if self.unusable > 1 else ''}: {self.first}")
        return tuple(lines)


def load_source(
    source: str | Path, *, encoding: str | None = None, stdin: BinaryIO | None = None, max_bytes: int = MAX_BYTES
) -> list[LoadedText]:
    """Load a file, a folder (recursively, sorted) or ``-``, standard input.

    Args:
        source: The path, or ``-``.
        encoding: Read with this encoding instead of detecting it.
        stdin: Read instead of the process's standard input.
        max_bytes: Refuse more than this, after unpacking; for a folder over all its files.

    Returns:
        One text per file. In a folder, hidden files and folders are passed over, and binary, empty and unusable
        files are left out and counted in the warnings of the first text.

    Raises:
        InputError: If there is nothing to read: missing, empty, binary, unreadable, too large, wrongly encoded.
    """
    if str(source) == "-":
        data = read_stream(stdin or sys.stdin.buffer, "standard input", max_bytes)
        return [_load(data, "standard input", "-", "text/1", encoding)]
    path = Path(source)
    if _is_folder(path):
        return _load_folder(path, encoding, max_bytes)
    data = read_file(path, max_bytes)
    return [_load(data, _title(Path(path.name)), display(path), loader_version(path), encoding)]


def loader_version(path: Path) -> str:
    """The loader that reads a file of this name; a trailing ``.gz`` does not count."""
    suffix = Path(_title(path)).suffix.lower()
    if suffix in _MARKDOWN:
        return "markdown/1"
    return "source-code/1" if suffix in _SOURCE_CODE else "text/1"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # reading it as a file gives the clear error


def _title(path: Path) -> str:
    name = display(path)
    return name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else name


def _load(data: bytes, title: str, source: str, loader: str, encoding: str | None) -> LoadedText:
    name = title if source == "-" else source
    if not data:
        raise InputError(f"{name} is empty.", "Give a file that holds text.")
    kind = binary_kind(data, encoding)
    if kind:
        raise refuse_binary(name, kind)
    decoded = decode(data, name, encoding)
    if not decoded.text or decoded.text.isspace():
        raise InputError(f"{name} holds nothing but white space.", "Give a file that holds text.")
    return LoadedText(decoded.text, title, source, decoded.encoding, loader, decoded.warnings)


def _load_folder(folder: Path, encoding: str | None, max_bytes: int) -> list[LoadedText]:
    skipped = _Skipped()
    texts = list(_folder_texts(folder, encoding, max_bytes, skipped))
    if not texts:
        found = "; ".join(skipped.warnings()) or "it is empty, or everything in it is hidden"
        msg = f"The folder {display(folder)} holds no readable text ({found})."
        raise InputError(msg, "Give a folder with text files, or a file.")
    texts[0] = replace(texts[0], warnings=(*skipped.warnings(), *texts[0].warnings))
    return texts


def _folder_texts(folder: Path, encoding: str | None, max_bytes: int, skipped: _Skipped) -> Iterator[LoadedText]:
    left = max_bytes
    for path in walk(folder):
        try:
            data = read_file(path, max_bytes)
        except InputError as error:
            skipped.note(error)
            continue
        left -= len(data)
        if left < 0:
            msg = f"The folder {display(folder)} holds more than {max_bytes / 2**20:,.1f} MiB."
            raise InputError(msg, "Add its parts one by one.")
        if not data.strip():
            skipped.empty += 1
        elif binary_kind(data, encoding):
            skipped.binary += 1
        else:
            title = _title(path.relative_to(folder))
            try:
                yield _load(data, title, display(path), loader_version(path), encoding)
            except InputError as error:
                skipped.note(error)
