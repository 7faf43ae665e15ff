"""Load documents: text, source code, Markdown, PDF, EPUB, DOCX, HTML, subtitles, tables; folders and ZIPs of them.

Its first bytes, then its name, decide what a file is. The readers of formats are in ``rereader.tools.formats``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rereader.schema.errors import InputError
from rereader.schema.types import Place
from rereader.tools.decoding import BINARY, binary_kind, decode, refuse_binary, refuse_misnamed
from rereader.tools.formats.apart import Apart
from rereader.tools.formats.archive import cleaned, members, open_archive, read_member
from rereader.tools.formats.base import MAX_BYTES, Options, TooLarge
from rereader.tools.formats.kinds import ARCHIVE, LOADERS, PACKED, kind_by_name, kind_of, packed_by_name, read
from rereader.tools.sources import display, read_file, read_stream, size_of, walk

_SUFFIXES = """
    .py .pyi .ipynb .js .mjs .jsx .ts .tsx .c .h .cc .cpp .cxx .hh .hpp .cs .java .kt .kts .scala .go .rs .rb .php
    .pl .pm .lua .r .jl .swift .m .mm .hs .ml .mli .ex .exs .erl .clj .cljs .lisp .el .scm .f90 .f .pas .sql .sh
    .bash .zsh .fish .ps1 .bat .cmake .mk .gradle .proto .graphql .vue .svelte .css .scss .toml .yaml .yml .json
    .xml .ini .cfg .tf .dart .zig .nim .asm .s .v .vhd .sol
"""
_SOURCE_CODE = frozenset(_SUFFIXES.split())
_NAMED = 3
"""Names of skipped files that are told."""


@dataclass(frozen=True)
class LoadedText:
    """One text, normalised: decoded, without byte order mark, CRLF made LF; of plain text nothing else is changed.

    Args:
        text: The text; offsets into it are code points.
        title: The file's name (in a folder: its path below it; in an archive: below the archive's) without ``.gz``.
        source: Where it came from, fit to be shown.
        encoding: What it was decoded with; ``none`` for formats that leave nothing to decode.
        loader: Kind and version of the loader: ``text/1``, ``pdf/1``, ...
        warnings: One line each; for a folder or an archive the first text carries those about the whole.
        places: Pages, sections, rows and times, as far as the format has them, in order.
    """

    text: str
    title: str
    source: str
    encoding: str
    loader: str
    warnings: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class _File:
    """A file's bytes and names."""

    data: bytes
    title: str
    source: str

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.title if self.source == "-" else self.source


@dataclass
class _Skipped:
    """What was left out of a folder or an archive."""

    archives: list[str] = field(default_factory=list)
    binary: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    unusable: int = 0
    first: str = ""

    def note(self, error: InputError) -> None:
        """Count a file that could not be used; the first one is named."""
        self.unusable += 1
        self.first = self.first or error.message

    def warnings(self) -> tuple[str, ...]:
        """One line per kind, with the first names."""
        named = ((self.binary, "binary file"), (self.empty, "empty file"), (self.archives, "archive"))
        lines = [_skipped_line(names, kind) for names, kind in named if names]
        if self.unusable:
            lines.append(f"skipped {self.unusable:,} unreadable file{'s' if self.unusable > 1 else ''}: {self.first}")
        return tuple(lines)


def _skipped_line(names: Sequence[str], kind: str) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"skipped {len(names):,} {kind}{'s' if len(names) > 1 else ''}: {', '.join(names[:_NAMED])}{more}"


def load_source(
    source: str | Path,
    *,
    encoding: str | None = None,
    password: str | None = None,
    stdin: BinaryIO | None = None,
    max_bytes: int = MAX_BYTES,
) -> list[LoadedText]:
    """Load a file, a folder (recursively, sorted), a ZIP archive, or ``-``, standard input.

    Args:
        source: The path, or ``-``.
        encoding: Read text with this encoding instead of detecting it.
        password: Opens encrypted PDF files and ZIP archives.
        stdin: Read instead of the process's standard input.
        max_bytes: Refuse more than this, after unpacking; for a folder over all its files.

    Returns:
        One text per file. In a folder or an archive, hidden files and folders are passed over, and binary, empty and
        unusable files (and archives in an archive) are left out and counted in the warnings of the first text.

    Raises:
        InputError: If there is nothing to read: missing, empty, binary, unreadable, too large, wrongly encoded,
            damaged, encrypted, without text.
        MissingExtra: If the packages that read the format are not installed.
    """
    with Apart() as apart:
        options = Options(encoding, password, max_bytes, apart)
        if str(source) == "-":
            data = read_stream(stdin or sys.stdin.buffer, "standard input", max_bytes)
            return _load(_File(data, "standard input", "-"), options)
        path = Path(source)
        if _is_folder(path):
            return _load_folder(path, options)
        return _load(_File(read_file(path, max_bytes), _title(Path(path.name)), display(path)), options)


def load_bytes(
    data: bytes, name: str, *, encoding: str | None = None, password: str | None = None, max_bytes: int = MAX_BYTES
) -> list[LoadedText]:
    """Load what was read already: the bytes of a file called ``name``, or of a ZIP archive of files.

    Raises:
        InputError: As :func:`load_source` does.
        MissingExtra: Likewise.
    """
    source = display(Path(name))
    unpacked = read_stream(BytesIO(data), source, max_bytes)
    with Apart() as apart:
        return _load(_File(unpacked, _title(Path(source)), source), Options(encoding, password, max_bytes, apart))


def loader_version(path: Path) -> str:
    """The loader that reads a file of this name, if it holds text; a trailing ``.gz`` does not count."""
    title = _title(path)
    kind = kind_by_name(title)
    if kind:
        return LOADERS[kind]
    return "source-code/1" if Path(title).suffix.lower() in _SOURCE_CODE else "text/1"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # reading it as a file gives the clear error


def _title(path: Path) -> str:
    name = display(path)
    return name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else name


def _load(file: _File, options: Options) -> list[LoadedText]:
    """The texts of one file: several, if it is an archive."""
    if not file.data:
        raise InputError(f"{file.name} is empty.", "Give a file that holds text.")
    kind = kind_of(file.data, file.title)
    return _load_archive(file, options) if kind == ARCHIVE else [_document(file, kind, options)]


def _document(file: _File, kind: str | None, options: Options) -> LoadedText:
    binary = None if kind in PACKED else binary_kind(file.data, options.encoding)
    if binary == BINARY and (claimed := packed_by_name(file.title)):
        raise refuse_misnamed(file.name, claimed)
    if binary:
        raise refuse_binary(file.name, binary)
    if kind:
        read_as = read(kind, file.data, file.name, options)
        text, encoding, warnings, places = read_as.text, read_as.encoding, read_as.warnings, read_as.places
        loader = LOADERS[kind]
    else:
        decoded = decode(file.data, file.name, options.encoding)
        text, encoding, warnings, places = decoded.text, decoded.encoding, decoded.warnings, ()
        loader = loader_version(Path(file.title))
    if not text or text.isspace():
        raise InputError(f"{file.name} holds nothing but white space.", "Give a file that holds text.")
    return LoadedText(text, file.title, file.source, encoding, loader, warnings, places)


def _load_folder(folder: Path, options: Options) -> list[LoadedText]:
    skipped = _Skipped()
    texts = list(_texts(_folder_files(folder, options.max_bytes, skipped), options, skipped))
    return _some(texts, skipped, f"The folder {display(folder)}", "Give a folder with text files, or a file.")


def _folder_files(folder: Path, max_bytes: int, skipped: _Skipped) -> Iterator[_File]:
    paths = list(walk(folder))
    if sum(map(size_of, paths)) > max_bytes:
        raise _full(folder, max_bytes)
    left = max_bytes
    for path in paths:
        try:
            data = read_file(path, max_bytes)
        except InputError as error:
            skipped.note(error)
            continue
        left -= len(data)
        if left < 0:
            raise _full(folder, max_bytes)
        yield _File(data, _title(path.relative_to(folder)), display(path))


def _full(folder: Path, max_bytes: int) -> InputError:
    msg = f"The folder {display(folder)} holds more than {max_bytes / 2**20:,.1f} MiB."
    return InputError(msg, "Add its parts one by one.")


def _load_archive(file: _File, options: Options) -> list[LoadedText]:
    skipped = _Skipped()
    texts = list(_texts(_archive_files(file, options, skipped), options, skipped, nested=True))
    hint = "Give an archive with documents, or a text file."
    return _some(texts, skipped, f"The ZIP archive {file.name}", hint)


def _archive_files(file: _File, options: Options, skipped: _Skipped) -> Iterator[_File]:
    with open_archive(file.data, file.name, "ZIP archive", options) as archive:
        for name, entry in members(archive):
            try:
                data = read_member(archive, entry, f"{file.name}/{name}", options.password)
            except InputError as error:
                skipped.note(error)
                continue
            title = _title(Path(cleaned(name)))
            yield _File(data, f"{file.title}/{title}", f"{file.source}/{name}")


def _texts(
    files: Iterator[_File], options: Options, skipped: _Skipped, *, nested: bool = False
) -> Iterator[LoadedText]:
    """The texts of many files; what cannot be read is counted. Archives are opened unless ``nested``.

    Raises:
        InputError: If the texts together are larger than the limit.
    """
    left = options.max_bytes
    for file in files:
        if not file.data.strip():
            skipped.empty.append(file.title)
            continue
        kind = kind_of(file.data, file.title)
        if nested and kind == ARCHIVE:
            skipped.archives.append(file.title)
        elif kind not in (*PACKED, ARCHIVE) and _is_other(file, options):
            skipped.binary.append(file.title)
        else:
            try:
                texts = _load(file, replace(options, max_bytes=left))
            except TooLarge as error:
                if left < options.max_bytes:
                    raise _together(options) from error
                skipped.note(error)
                continue
            except InputError as error:
                skipped.note(error)
                continue
            left -= sum(len(text.text) for text in texts)
            if left <= 0:
                raise _together(options)
            yield from texts


def _is_other(file: _File, options: Options) -> bool:
    """Whether a file is passed over as no text; one that is named like a document is told of as unreadable."""
    binary = binary_kind(file.data, options.encoding)
    return binary is not None and not (binary == BINARY and packed_by_name(file.title))


def _together(options: Options) -> InputError:
    msg = f"The files together hold more than {options.max_bytes / 2**20:,.1f} MiB of text."
    return InputError(msg, "Add them one by one.")


def _some(texts: list[LoadedText], skipped: _Skipped, where: str, hint: str) -> list[LoadedText]:
    """The texts, the first one carrying the warnings of what was skipped; an error when there are none."""
    warnings = skipped.warnings()
    if not texts:
        found = "; ".join(warnings) or "it is empty, or everything in it is hidden"
        raise InputError(f"{where} holds no readable text ({found}).", hint)
    return [replace(texts[0], warnings=(*warnings, *texts[0].warnings)), *texts[1:]]
