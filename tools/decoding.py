"""From bytes to text: byte order marks, UTF-8, an educated guess, and a name for what is no text at all.

Normalisation is: decode, drop the byte order mark, CRLF to LF, nothing else.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

import charset_normalizer
from charset_normalizer import CharsetMatch

from rereader.schema.errors import InputError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"%PDF-", "a PDF file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x7fELF", "an ELF program"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office file (DOC, XLS, PPT)"),
    (b"OggS", "an Ogg sound or video file"),
    (b"fLaC", "a FLAC sound file"),
    (b"GGUF", "a GGUF model file"),
)
_ZIP_KINDS = (
    (b"application/epub+zip", "an EPUB book"),
    (b"word/", "a DOCX document"),
    (b"xl/", "an XLSX table"),
    (b"ppt/", "a PPTX presentation"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file"),
)
_HINTS = (
    ("XLSX", "Save its sheets as CSV and give these text files."),
    ("OpenDocument", "Save it as DOCX, or as text."),
    ("old Microsoft", "An encrypted DOCX looks like this too: save it as DOCX without a password, or as text."),
    ("archive", "Of archives this version reads ZIP and gzip; unpack it and give the folder with the text."),
    ("bzip2", "This version reads text and gzip; unpack it first."),
    ("xz", "This version reads text and gzip; unpack it first."),
    ("zstandard", "This version reads text and gzip; unpack it first."),
    ("binary", "Give a text file; text in UTF-16 without a byte order mark needs --encoding utf-16-le."),
    ("gzip", "It is compressed twice; unpack it once."),
)
_CANDIDATES = """
cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 iso8859_2 iso8859_5 iso8859_7 koi8_r koi8_u cp866
mac_roman gb18030 big5 cp932 euc_jp cp949
"""
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\b")) + b"\x7f"
_CONTROL_SHARE = 0.03
_HEAD = 4096
_SAMPLE = 65_536
_FEW_BYTES = 24
_DAMAGED_SHARE = 0.01
_LINE = 2_000
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Decoded:
    """Text, the encoding it was read with, and what the reader should know about that."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()


BINARY = "a binary file"
"""What :func:`binary_kind` says of bytes that it does not know."""


def binary_kind(data: bytes, encoding: str | None = None) -> str | None:
    """What ``data`` looks like (``a PDF file``, ``a binary file``), or ``None`` when it may be text.

    Zero bytes belong to UTF-16 and UTF-32, so an explicit ``encoding`` of these allows them.
    """
    head = data[:_HEAD]
    if data.startswith(b"PK\x03\x04"):
        return next((kind for mark, kind in _ZIP_KINDS if mark in head), "a ZIP archive")
    if data[257:262] == b"ustar":
        return "a tar archive"
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    wide = (
        encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32", "utf16", "utf32")) if encoding else False
    )
    if not wide and _wide_encoding(data) is None and (b"\0" in data or _control_share(data) > _CONTROL_SHARE):
        return BINARY
    return None


def refuse_binary(name: str, kind: str) -> InputError:
    """The error for a source that is no text."""
    hint = next((hint for word, hint in _HINTS if word in kind), "This version reads text; give a text file.")
    return InputError(f"{name} is {kind}, not text.", hint)


def refuse_misnamed(name: str, kind: str) -> InputError:
    """The error for a file that is named like a document of this kind and does not begin like one."""
    hint = "Download or make it again, or give its text as a text file."
    return InputError(f"{name} is damaged, or no {kind} file: it does not begin like one.", hint)


def decode(data: bytes, name: str, encoding: str | None = None) -> Decoded:
    """Decode and normalise ``data``.

    Without ``encoding``: byte order mark, then UTF-8, then UTF-16 or UTF-32 by their zero bytes, then a guess from
    the bytes. A guess that rests on little comes with a warning. UTF-8 with a few damaged bytes stays UTF-8: each is
    replaced by U+FFFD and a warning counts them.

    Raises:
        InputError: If the encoding is unknown or does not fit, naming the byte; if the text holds lone surrogates.
    """
    decoded = _decode_as(data, name, encoding) if encoding else _detect(data, name)
    text = decoded.text.removeprefix("\ufeff")
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    return Decoded(text, decoded.encoding, decoded.warnings)


def _control_share(data: bytes) -> float:
    sample = data[: 16 * _SAMPLE]
    return 1 - len(sample.translate(None, _CONTROLS)) / len(sample) if sample else 0.0


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 by byte order mark or, without one, by where the zero bytes of mostly Latin text stand."""
    for bom, encoding in _BOMS[1:]:
        if data.startswith(bom):
            return encoding
    sample = data[:_HEAD] if len(data) >= _HEAD else data[: len(data) // 4 * 4]
    if len(sample) < 8:
        return None
    share = [sample[lane::4].count(0) / (len(sample) // 4) for lane in range(4)]
    zero, full = [part > 0.7 for part in share], [part < 0.05 for part in share]
    patterns = {"utf-16-le": "fzfz", "utf-16-be": "zfzf", "utf-32-le": "fzzz", "utf-32-be": "zzzf"}
    for encoding, pattern in patterns.items():
        if all(zero[lane] if want == "z" else full[lane] for lane, want in enumerate(pattern)):
            return encoding
    return None


def _detect(data: bytes, name: str) -> Decoded:
    wide = _wide_encoding(data)
    if wide:
        return _decode_as(data, name, wide)
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        return _damaged_utf8(data, error.start) or _guess(data, name)


def _decode_as(data: bytes, name: str, encoding: str) -> Decoded:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        byte = data[error.start : error.start + 1].hex()
        msg = f"{name} is not {encoding}: byte 0x{byte} at offset {error.start:,} does not fit."
        raise InputError(msg, "Leave --encoding out to have it detected, or name another one.") from error
    except (LookupError, ValueError) as error:
        msg = f"{encoding!r} cannot be used to read {name}."
        raise InputError(msg, "Name a text encoding, for example utf-8, cp1252, gb18030 or utf-16.") from error
    surrogate = _SURROGATE.search(text)
    if surrogate:
        msg = (
            f"{name}, read as {encoding}, holds half a character (a lone surrogate) at character {surrogate.start():,}."
        )
        raise InputError(msg, "Name another encoding with --encoding, or save the file as UTF-8.")
    return Decoded(text, encoding)


def _damaged_utf8(data: bytes, first: int) -> Decoded | None:
    """UTF-8 in which nearly every character beyond ASCII is sound; ``None`` when it is another encoding."""
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    sound = _beyond_ascii(data) - damaged
    if sound < 4 or damaged > max(1, _DAMAGED_SHARE * sound):
        return None
    places = "place" if damaged == 1 else "places"
    warning = f"damaged UTF-8: {damaged:,} {places} replaced by U+FFFD, the first at byte offset {first:,}"
    return Decoded(text, "utf-8", (warning,))


def _guess(data: bytes, name: str) -> Decoded:
    """Guess from the lines that hold bytes beyond ASCII; the whole text must fit the guess."""
    sample = _telling_bytes(data)
    matches = list(charset_normalizer.from_bytes(sample, cp_isolation=_CANDIDATES.split()))
    for encoding, sure in _ranked(matches):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        sure = sure and _beyond_ascii(sample) >= _FEW_BYTES
        warning = f"the encoding is a guess: {encoding}; name it with --encoding if the text looks wrong"
        return Decoded(text, encoding, () if sure else (warning,))
    msg = f"The encoding of {name} could not be found out."
    raise InputError(msg, "Name it with --encoding, for example --encoding cp1252.")


def _ranked(matches: list[CharsetMatch]) -> list[tuple[str, bool]]:
    """The candidates, likeliest first, and whether each stands out; among equals Western Europe comes first."""
    if not matches:
        return [("cp1252", False)]
    best = matches[0]
    rivals = [match for match in matches if _close(match, best)]
    names = [match.encoding for match in matches]
    if any("cp1252" in match.could_be_from_charset for match in rivals):
        names.insert(0, "cp1252")
    clear = len(rivals) == 1 and best.chaos <= 0.1 and best.coherence >= 0.2
    return [(encoding, clear and ordinal == 0) for ordinal, encoding in enumerate(names)]


def _close(match: CharsetMatch, best: CharsetMatch) -> bool:
    return match.chaos <= best.chaos + 0.02 and match.coherence >= best.coherence - 0.1


def _beyond_ascii(data: bytes) -> int:
    return len(data.translate(None, bytes(range(128))))


def _telling_bytes(data: bytes) -> bytes:
    """About 64 kB of ``data``: the lines (or 2 kB pieces of endless lines) that hold its first bytes beyond ASCII."""
    if len(data) <= _SAMPLE:
        return data
    lines: list[bytes] = []
    size = end = 0
    for match in _BEYOND_ASCII.finditer(data):
        place = match.start()
        if place < end:
            continue
        start = max(end, data.rfind(b"\n", max(0, place - _LINE), place) + 1 or place)
        end = data.find(b"\n", place, place + _LINE) + 1 or place + _LINE
        lines.append(data[start:end])
        size += end - start
        if size >= _SAMPLE:
            break
    return b"".join(lines)
