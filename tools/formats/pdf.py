"""PDF through PDFium: text page by page, printed page labels, bookmarks as sections."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from typing import Any

from rereader.schema.errors import InputError
from rereader.tools.formats.base import HeadingPath, Options, Parsed, TextBuilder, damaged, needs

MAX_PAGES = 50_000
MAX_BOOKMARKS = 100_000
"""Bookmarks beyond these make no sections; a sound file has far fewer."""
MAX_ON_PAGE = 200
MAX_MISSING = 1_000
"""A file that lacks more of the pages it claims than this is refused."""

_KIND = "PDF file"
_PDFIUM = threading.Lock()  # PDFium may not be used by two threads at once
_HYPHEN = re.compile("[\ufffe\x02](?:\r?\n)?")
_BLANKS = re.compile(r"[ \t\r]+(?=\n)|\r")
_PASSWORD = 4
_NEAR = 200
"""Characters between a bookmark's height and its title on the page."""


def load(data: bytes, name: str, options: Options) -> Parsed:
    """The text of every page in the order of the file, one line end between pages, hyphens left as they are.

    Raises:
        InputError: If the file is damaged, encrypted without the right password, has more than ``MAX_PAGES`` pages or
            no text on any of them.
        MissingExtra: If pypdfium2 is not installed.
    """
    with needs("Reading PDF files"):
        import pypdfium2

    with _PDFIUM, _opened(pypdfium2, data, name, options) as document:
        count = _page_count(document, name)
        out = TextBuilder(name, options.max_bytes)
        bookmarks = _bookmarks(document, count)
        path = HeadingPath()
        empty: list[int] = []
        missing: list[int] = []
        for index in range(count):
            try:
                page = document[index]
            except pypdfium2.PdfiumError as error:
                missing.append(index + 1)
                if len(missing) > MAX_MISSING:
                    raise damaged(name, _KIND, f"it claims {count:,} pages and lacks most of them") from error
                continue
            with closing(page), closing(page.get_textpage()) as sheet:
                text = _clean(sheet.get_text_range())
                out.mark("page", _said(partial(document.get_page_label, index)) or str(index + 1))
                for level, title, top in bookmarks.get(index, ())[:MAX_ON_PAGE]:
                    out.mark("section", path.enter(level, title), out.length + _offset(sheet, text, title, top))
                out.add(f"{text}\n")
            if not text.strip():
                empty.append(index + 1)
    if len(empty) + len(missing) == count:
        raise _no_text(name, empty, missing)
    return out.build(_warnings(empty, missing, data))


@contextmanager
def _opened(pypdfium2: Any, data: bytes, name: str, options: Options) -> Iterator[Any]:
    try:
        document = pypdfium2.PdfDocument(data, password=options.password)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise _locked(name, options.password) from error
        raise damaged(name, _KIND) from error
    with closing(document):
        yield document


def _page_count(document: Any, name: str) -> int:
    count = len(document)
    if count > MAX_PAGES:
        msg = f"{name} claims {count:,} pages; at most {MAX_PAGES:,} are read."
        raise InputError(msg, "Split it and add the parts.")
    if not count:
        raise damaged(name, _KIND, "it has no pages")
    return count


def _bookmarks(document: Any, count: int) -> dict[int, list[tuple[int, str, float | None]]]:
    """``(level from 1, title, height on the page)`` of the bookmarks by the page they lead to."""
    found: dict[int, list[tuple[int, str, float | None]]] = {}
    for bookmark in islice(document.get_toc(), MAX_BOOKMARKS):
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        title = _said(bookmark.get_title).strip()
        if index is not None and 0 <= index < count and title:
            found.setdefault(index, []).append((bookmark.level + 1, title, _top(target)))
    return found


def _said(get: Callable[[], str]) -> str:
    """A label or title; empty if it is no sound UTF-16."""
    try:
        return get()
    except UnicodeDecodeError:
        return ""


def _top(target: Any) -> float | None:
    """The height that a bookmark points at, in points from the page's foot; ``None`` for a whole page."""
    mode, position = target.get_view()
    index = {1: 1, 3: 0, 5: 3, 7: 0}.get(mode)  # XYZ (left, top, zoom), FitH, FitR, FitBH
    return position[index] if index is not None and index < len(position) else None


def _offset(sheet: Any, text: str, title: str, top: float | None) -> int:
    """Where a section begins in a page's text: at the bookmark's height, or at its title near there."""
    words = r"\s+".join(map(re.escape, title.split()))
    titles = [found.start() for found in re.finditer(words, text, re.IGNORECASE)]
    below = _clean(sheet.get_text_bounded(top=top)) if top else ""
    if below and text.endswith(below):
        start = len(text) - len(below)
        return min((at for at in titles if abs(at - start) <= _NEAR), key=lambda at: abs(at - start), default=start)
    alone = re.search(rf"^\s*{words}\s*$", text, re.IGNORECASE | re.MULTILINE)
    return alone.start() if alone else titles[0] if titles else 0


def _clean(text: str) -> str:
    """PDFium's text with its line ends as LF and its marks for hyphens at line ends as what was printed."""
    return _BLANKS.sub("", _HYPHEN.sub("-\n", text.replace("\r\n", "\n"))).rstrip()


def _locked(name: str, password: str | None) -> InputError:
    if password is None:
        return InputError(f"{name} is encrypted.", "Give its password with --password.")
    return InputError(f"The password does not open {name}.", "Check --password.")


def _no_text(name: str, empty: Sequence[int], missing: Sequence[int]) -> InputError:
    if not empty:
        return damaged(name, _KIND, "none of its pages can be read")
    pages = f"its {len(empty):,} pages are" if len(empty) > 1 else "its one page is"
    msg = f"{name} holds no text: {pages} empty or scanned."
    return InputError(msg, "It needs OCR first, for example: ocrmypdf FILE.pdf WITH-TEXT.pdf")


def _warnings(empty: Sequence[int], missing: Sequence[int], data: bytes) -> tuple[str, ...]:
    found = []
    if empty:
        found.append(f"{_ranges(empty)} {'hold' if len(empty) > 1 else 'holds'} no text (scanned?)")
    if missing:
        found.append(f"{_ranges(missing)} cannot be read (damaged)")
    if b"%%EOF" not in data[-2048:]:
        found.append("the file looks cut off; what was left of it is read")
    return tuple(found)


def _ranges(pages: Sequence[int]) -> str:
    """``page 3`` or ``pages 3-7, 9``; of many stretches only the first are named."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    named = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs[:10])
    more = f" and {len(pages) - sum(b - a + 1 for a, b in runs[:10]):,} more" if len(runs) > 10 else ""
    return f"page{'s' if len(pages) > 1 else ''} {named}{more}"
