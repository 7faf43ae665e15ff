"""What is fuzzed: each target takes bytes and raises only where something is wrong with us.

Run by tests/fuzz on a kept corpus and on what hypothesis makes, and by ``scripts/fuzz`` for as long as one likes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from rereader.agents import actions, coder, page_lookup, reasoner, rememberer, subreader
from rereader.models import scripted_kv, tensorfile
from rereader.models.kvmemory import UnusableBlock
from rereader.runs.edits import read_edits
from rereader.runs.places import place_of
from rereader.schema import Document, InputError, RereaderError, Span
from rereader.tools import paging
from rereader.tools.chunker import chunk_document
from rereader.tools.formats.base import Options, Parsed
from rereader.tools.formats.kinds import load
from rereader.tools.loaders import load_bytes
from rereader.tools.quotes import find_quotes, match_quote
from rereader.tools.sentences import sentence_spans

Target = Callable[[bytes], None]
_LIMIT = 1 << 22
_NAMES = ("a.txt", "a.zip", "a.epub", "a.docx", "a.html", "a.csv", "a.jsonl", "a.md", "a.srt", "a.py", "a", "a.gz")


def loaders(data: bytes) -> None:
    """A whole file of any kind: texts that can be stored, or one line."""
    name = _NAMES[data[0] % len(_NAMES)] if data else "a"
    try:
        texts = load_bytes(data[1:], name, max_bytes=_LIMIT)
    except InputError as error:
        _check_line(error)
        return
    for text in texts:
        assert text.text and not text.text.isspace()
        _check_parsed(Parsed(text.text, text.places))


def formats(data: bytes) -> None:
    """A file of a given format, whatever its first bytes say."""
    kinds = ("html", "table", "jsonl", "markdown", "subtitles", "epub", "docx")
    kind = kinds[data[0] % len(kinds)] if data else "html"
    try:
        _check_parsed(load(kind, data[1:], f"a.{kind}", Options(max_bytes=_LIMIT)))
    except InputError as error:
        _check_line(error)


def pdf(data: bytes) -> None:
    """A PDF file."""
    try:
        _check_parsed(load("pdf", b"%PDF-1.4\n" + data, "a.pdf", Options(max_bytes=_LIMIT)))
    except InputError as error:
        _check_line(error)


def chunks(data: bytes) -> None:
    """Chunks and sentences of any text partition it."""
    text = _text(data[1:])
    most = data[0] % 40 + 1 if data else 1
    spans = sentence_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    made = chunk_document(text, document_id="d", count_tokens=lambda texts: [len(t) for t in texts], max_tokens=most)
    assert "".join(text[chunk.span.start : chunk.span.end] for chunk in made) == text
    assert all(chunk.token_count <= most for chunk in made)


def quotes(data: bytes) -> None:
    """What matches is a slice of the source that says the same: no digit may differ."""
    claimed, _, text = _text(data).partition("|")
    found = match_quote(claimed, text, document_id="d")
    [also] = find_quotes([claimed], [(Span(document_id="d", start=0, end=len(text)), text)])
    assert (found is None) == (also is None)
    if found is not None:
        assert text[found.span.start : found.span.end] == found.text
        wanted = [letter for letter in claimed if letter.isdecimal()]
        assert "…" in claimed or ".." in claimed or wanted == [letter for letter in found.text if letter.isdecimal()]


def replies(data: bytes) -> None:
    """Replies of models: read as what they may say, or as nothing."""
    text = _text(data)
    try:
        action = actions.parse_action(text)
        assert action.kind in actions.KINDS
    except actions.ActionError as error:
        assert str(error)
    for choice in (page_lookup.parse_pages(text, {1, 2, 3}, 2), page_lookup.parse_next(text, {1, 2, 3})):
        assert choice is None or set(choice.chosen) <= {1, 2, 3}
    label = paging.parse_label(text, 5)
    assert label is None or 0 <= label < 5
    numbers = reasoner.parse_numbers(text, 4)
    assert numbers is None or set(numbers) <= set(range(4))
    rememberer.parse(text)
    coder.code_in(text)
    subreader.says_nothing(text)
    actions.is_unfilled(text)


def edits(data: bytes) -> None:
    """A file of edits, and a place as it is named on the command line."""
    text = _text(data)
    document = Document(id="d" * 64, title="a", source="a", length=9, loader="text/1")
    for read in (lambda: read_edits(text, []), lambda: place_of([document], text)):
        try:
            read()
        except InputError as error:
            assert error.message


def blobs(data: bytes) -> None:
    """Stored blocks that were damaged: refused, never believed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "block"
        path.write_bytes(data)
        for read in (tensorfile.read, lambda one: scripted_kv.load(one, "model")):
            try:
                read(path)
            except (UnusableBlock, RereaderError) as error:
                assert str(error)
            else:
                raise AssertionError("bytes that nobody wrote were read as a block")


TARGETS: Mapping[str, Target] = {
    one.__name__: one for one in (loaders, formats, pdf, chunks, quotes, replies, edits, blobs)
}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _check_line(error: InputError) -> None:
    assert error.message and "\n" not in str(error) and "its reader failed" not in error.message, str(error)


def _check_parsed(parsed: Parsed) -> None:
    """A text that can be stored, and places in it."""
    parsed.text.encode()
    starts = [place.start for place in parsed.places]
    assert starts == sorted(starts) and all(0 <= start <= len(parsed.text) for start in starts)
    for place in parsed.places:
        place.label.encode()
