"""Turn the verses of the sample Bible into a plain text with headings."""

from __future__ import annotations

import json
import re

from pydantic import TypeAdapter, ValidationError

from rereader.schema.errors import ModelError
from rereader.schema.types import Frozen

_NOTE = re.compile(r"\{[^{}]*:[^{}]*\}")
_BRACES = re.compile(r"[{}]")


class Book(Frozen):
    """One book: its name, and its chapters as lists of verses."""

    abbrev: str
    name: str
    chapters: tuple[tuple[str, ...], ...]


def verses_to_text(data: bytes) -> str:
    """Write each book under its name in capitals, each chapter under a heading, each verse on a line ``3:16 ...``.

    Editor's notes, which the data marks as ``{word: note}``, are left out; the braces around supplied words go.

    Args:
        data: JSON, UTF-8 with or without a byte-order mark: ``[{abbrev, name, chapters: [[verse, ...], ...]}, ...]``.

    Raises:
        ModelError: If the data is not of that form.
    """
    try:
        books = TypeAdapter(tuple[Book, ...]).validate_python(json.loads(data.decode("utf-8-sig")))
    except (UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
        msg = f"The sample document is not in the expected form: {str(error).splitlines()[0]}"
        raise ModelError(msg, "Pull it again.") from error
    return "\n\n".join(_book(book) for book in books) + "\n"


def _book(book: Book) -> str:
    chapters = (_chapter(book.name, number, verses) for number, verses in enumerate(book.chapters, 1))
    return "\n\n".join([book.name.upper(), *chapters])


def _chapter(book: str, number: int, verses: tuple[str, ...]) -> str:
    lines = [f"{number}:{verse} {_clean(text)}" for verse, text in enumerate(verses, 1)]
    return "\n".join([f"{book}, chapter {number}", *lines])


def _clean(verse: str) -> str:
    return " ".join(_BRACES.sub("", _NOTE.sub("", verse)).split())
