"""Searching a document by hand: places that say something letter for letter, then passages by BM25."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rereader.memory.library import Library
from rereader.schema import Document, InputError
from rereader.tools.words import content_words

_TAIL = 4_096


@dataclass(frozen=True)
class Hit:
    """A place of a document that was found.

    Args:
        start: Its first character.
        end: Behind its last.
        quote: What stands there.
        score: BM25, higher is better; ``None`` where the query stands letter for letter, which comes first.
        line: Number of its line, from 1.
        page: Label of its page, where the document has pages.
        section: Headings of its section, where it has sections.
    """

    start: int
    end: int
    quote: str
    score: float | None
    line: int
    page: str | None
    section: str | None


def search_document(library: Library, document: Document, query: str, limit: int) -> tuple[Hit, ...]:
    """Where a document says something, best first.

    What stands letter for letter (in upper or lower case, with any white space between words) comes first, in the
    order of the text. Passages that share words with the query follow, if a run or ``add`` has cut the document.

    Raises:
        InputError: If the query has no words.
    """
    if not query.strip():
        raise InputError("There is nothing to search for.", "Give a word or a few.")
    exactly = places_in(library.documents.blocks(document.id), query)
    found: list[tuple[int, int, float | None]] = [(*place, None) for place in islice(exactly, limit)]
    if len(found) < limit:
        exact = [(start, end) for start, end, _ in found]
        for start, end, score in _ranked(library, document, query, limit + len(exact)):
            if not any(start < last and first < end for first, last in exact):
                found.append((start, end, score))
    return tuple(_hits(library, document, found[:limit]))


def places_in(blocks: Iterable[str], query: str, tail: int = _TAIL) -> Iterator[tuple[int, int]]:
    """Where a text says a query letter for letter, in order; it is read block by block, as far as is asked for.

    Args:
        blocks: The text.
        query: What is searched for; any white space may stand between its words, but less than ``tail``.
        tail: Characters of what was searched that are searched again with the next block, for what lies across.
    """
    pattern = re.compile(r"\s+".join(re.escape(word) for word in query.split()), re.IGNORECASE)
    kept, offset = "", 0
    for block in blocks:
        text, after = kept + block, 0
        for match in pattern.finditer(text):
            after = match.end()
            yield offset + match.start(), offset + after
        after = max(after, len(text) - len(query) - tail)
        kept, offset = text[after:], offset + after


def _ranked(library: Library, document: Document, query: str, limit: int) -> Iterator[tuple[int, int, float]]:
    chunking = library.chunks.newest(document.id)
    if chunking is None:
        return
    scores = library.fulltext.search(chunking.id, content_words(query), limit)
    passages = library.chunks.passages_by_id(chunking, [identity for identity, _ in scores])
    for identity, score in scores:
        span = passages[identity].span
        yield span.start, span.end, score


def _hits(library: Library, document: Document, found: list[tuple[int, int, float | None]]) -> Iterator[Hit]:
    starts = [start for start, _, _ in found]
    lines = library.documents.lines_of(document.id, starts)
    places = library.documents.places_at(document.id, starts)
    for start, end, score in found:
        quote = library.documents.slice(document.id, start, end)
        at = places[start]
        yield Hit(start, end, quote, score, lines[start], at.get("page"), at.get("section"))
