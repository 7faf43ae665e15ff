"""Pages: stretches of a document that end where a reader would pause, each with its gist. Stored once per document."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import RunContext
from rereader.agents.costs import TOKENS_PER_WORD, DocumentFacts
from rereader.memory.chunks import Chunking
from rereader.models.base import LanguageModel
from rereader.prompts.loader import load
from rereader.schema import Record, Span

LEAD = "lead"
"""What a stand-in for a gist names as its model, with the reason after a colon."""
_PAGES, _GISTS = "pages", "page-gists"
_BATCH = 500
_FULL = 0.9
"""Share of ``max_words`` that whole paragraphs fill."""


@dataclass(frozen=True)
class Page:
    """A page of the run's documents; ``number`` counts from 1 over all of them, as the prompts show it."""

    number: int
    span: Span
    gist: Record

    @property
    def place(self) -> dict[str, Any]:
        """For a step's detail: which page, and which characters of which document."""
        return {"page": self.number, "span": [self.span.document_id, self.span.start, self.span.end]}


def pages_of(context: RunContext) -> list[Page]:
    """All pages of the run's documents in order; they and their gists are made already."""
    found: list[Page] = []
    for document in context.documents:
        chunking = ensure_chunks(context, document)
        for gist in stored(context, chunking, gists_key(context)):
            found.append(Page(len(found) + 1, gist.spans[0], gist))
    return found


def stored(context: RunContext, chunking: Chunking, key: str) -> list[Record]:
    """The records under a key, one a page, in page order."""
    records = context.library.records
    count = records.gist_count(chunking, key)
    found: list[Record] = []
    for first in range(0, count, _BATCH):
        numbers = range(first, min(first + _BATCH, count))
        part = records.gists(chunking, key, numbers)
        found += [part[number] for number in numbers]
    return found


def pages_key(context: RunContext) -> str:
    """What identifies a document's pages: who chose their ends, and all that decides the choice."""
    model = None if context.settings.pagination == "uniform" else context.need("reader").model
    return f"{_PAGES}:{_fingerprint(model)}:{_pages_ending(context.settings)}"


def gists_key(context: RunContext) -> str:
    """What identifies the gists of a document's pages."""
    model = context.need(context.settings.gist_by).model
    return f"{_GISTS}:{_fingerprint(model)}:{_gists_ending(context.settings)}:{pages_key(context)}"


def pages_stored(settings: Any, document: DocumentFacts) -> int:
    """Pages that the library holds, as far as can be told without loading a model."""
    return _stored(document, _PAGES, _pages_ending(settings))


def gists_stored(settings: Any, document: DocumentFacts) -> int:
    """Gists of pages that the library holds, likewise."""
    return _stored(document, _GISTS, _pages_ending(settings), _gists_ending(settings))


def expected_pages(settings: Any, document: DocumentFacts) -> int:
    """How many pages a document has; until they are made, how many of a middling size it would have."""
    known = pages_stored(settings, document)
    if known:
        return known
    least, most = float(settings.min_words), float(settings.max_words)
    size = _FULL * most if settings.pagination == "uniform" else (least + most) / 2
    words = document.words(settings.max_words) if document.words else document.tokens / TOKENS_PER_WORD
    return max(1, math.ceil(words / size))


def most_pages(settings: Any, document: DocumentFacts) -> int:
    """How many pages a document has; until they are made, how many it may have at most.

    A page has fewer words than ``min_words`` only where it and the next pass ``max_words``, so that two of them share
    more than that; the last one may be of any size. The words are counted as the paginator counts them, since tokens
    tell nothing of them: where spaces part no words, a token may be several, or one of several that a word has. A text
    that is not known has no more words than characters.
    """
    known = pages_stored(settings, document)
    if known:
        return known
    half = settings.max_words / 2
    least: float = half if settings.pagination == "uniform" else min(settings.min_words, half)
    words = document.words(settings.max_words) if document.words else document.characters
    return 1 + math.floor(words / least)


def _stored(document: DocumentFacts, kind: str, *parts: str) -> int:
    found = [
        count
        for key, count in document.gists.items()
        if key.startswith(f"{kind}:") and key.endswith(parts[0]) and all(part in key for part in parts)
    ]
    return max(found, default=0)


def _pages_ending(settings: Any) -> str:
    limits = f"{settings.min_words}-{settings.max_words}-{settings.rest_words}"
    prompt = "" if settings.pagination == "uniform" else f":{load('page_break').digest}"
    return f"{settings.pagination}:{limits}{prompt}"


def _gists_ending(settings: Any) -> str:
    return f"{load('page_gist').digest}:{settings.gist_tokens}"


def _fingerprint(model: LanguageModel | None) -> str:
    return model.fingerprint[:16] if model else "none"
