"""The page gister: shortens every page on its own, whatever will be asked, and checks what comes back.

After ReadAgent (arXiv 2402.09727, section 3.2): the model is asked to shorten, not to summarise, which keeps the
story's order. No gist is shown another one, since gists written after gists end up as copies of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from rereader.agents.calls import Caller, Request
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.agents.page_break import too_large
from rereader.agents.pages import LEAD, expected_pages, gists_key, gists_stored, most_pages, stored
from rereader.agents.paginator import ensure_pages
from rereader.memory.chunks import Chunking
from rereader.models.base import Generation, Sampling
from rereader.prompts.loader import Piece, load
from rereader.schema import Document, Record, RecordKind
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words, word_limit, words

GIST_SHARE = 0.16
"""Share of a page's words that its gist has, as published for QuALITY (650 of 4122 words)."""
_BATCH = 16
_COPIED = 0.9
"""Share of a gist that may stand at the page's beginning word by word."""
_LEAD_WORDS = 90
_LEAD_CHARACTERS = 1_000
_SLACK = 10
"""Words that a copy may have left out."""
_STORED = 16.0
"""Bytes in the library per token of a gist."""


def gist_cost(settings: Any, facts: Facts) -> StageCost:
    """One call for each page, none of which waits for another; all pages are read once."""
    left, most, read = 0, 0, 0.0
    for document in facts.documents:
        pages, made = expected_pages(settings, document), gists_stored(settings, document)
        missing = pages - made
        left += missing
        most += most_pages(settings, document) - made
        read += document.tokens * missing / pages + missing * PROMPT_TOKENS
    if not left or settings.gist_by not in facts.bound:
        return StageCost("gist")
    written = min(read * GIST_SHARE, left * settings.gist_tokens)
    work = Work("generate", settings.gist_by, read, written, left, most * settings.gist_tokens, most)
    return StageCost("gist", (work,), written * _STORED)


@costs(gist_cost)
@made_with("gister")
def gist_pages(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that every page of the run's documents has a gist; says how many could not be used."""
    gists = [gist for document in context.documents for gist in ensure_page_gists(context, document)]
    lead = Counter(gist.model.removeprefix(f"{LEAD}: ") for gist in gists if gist.model.startswith(LEAD))
    if lead:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(lead.items()))
        context.warn(
            f"{lead.total()} of {len(gists)} gists could not be used ({reasons}); "
            "the first sentences of their pages stand in for them."
        )
    return Outcome(detail={"gists": len(gists), "stand_ins": dict(lead)})


def ensure_page_gists(context: RunContext, document: Document) -> list[Record]:
    """The gists of a document's pages, in order; the missing ones made now in batches that are stored one by one."""
    pages, chunking, key = ensure_pages(context, document), ensure_chunks(context, document), gists_key(context)
    if context.library.records.gist_count(chunking, key) < len(pages):
        with context.library.adding(document.id, context.checkpoint):
            _write_all(context, chunking, key, pages)
    return stored(context, chunking, key)


def _write_all(context: RunContext, chunking: Chunking, key: str, pages: Sequence[Record]) -> None:
    gister, library = context.need(context.settings.gist_by), context.library
    started, tokens = time.monotonic(), 0
    sampling = Sampling(max_new_tokens=context.settings.gist_tokens, seed=context.settings.seed)
    for first in range(library.records.gist_count(chunking, key), len(pages), _BATCH):
        context.checkpoint()
        mark, batch = context.mark(), pages[first : first + _BATCH]
        texts = [library.documents.text_of(page.spans[0]) for page in batch]
        replies = gister.generate(_requests(context, gister, batch, texts), sampling)
        parts = zip(batch, texts, replies, strict=True)
        gists = [(page.ordinal, _record(page, text, reply, key, gister.model.name)) for page, text, reply in parts]
        with context.storing(mark):
            library.records.add_gists(chunking, key, gists)
        tokens += sum(reply.prompt_tokens + reply.completion_tokens for reply in replies)
        context.progress("gist", started, first + len(batch), len(pages), tokens)


def _requests(context: RunContext, gister: Caller, pages: Sequence[Record], texts: Sequence[str]) -> list[Request]:
    parts = zip(pages, texts, strict=True)
    made = [Request(load("page_gist"), {"page": [Piece(text, span=page.spans[0])]}) for page, text in parts]
    most = max(gister.model.prompt_tokens([request.prompt for request in made]))
    if most + context.settings.gist_tokens > gister.model.context_window:
        raise too_large(context, gister)
    return made


def _record(page: Record, text: str, reply: Generation, key: str, model: str) -> Record:
    gist = reply.text.strip()
    reason = fault(gist, text)
    return Record.create(
        run_id=page.run_id,
        kind=RecordKind.GIST,
        content=lead(text) if reason else gist,
        agent="page_gister",
        spans=page.spans,
        parents=[page.id],
        ordinal=page.ordinal,
        prompt_hash=key,
        model=f"{LEAD}: {reason}" if reason else model,
    )


def fault(gist: str, page: str) -> str:
    """Why a reply cannot be a page's gist; empty if it can. A page that is no longer than a gist may be copied."""
    said, source = words(gist), words(page)
    if not said:
        return "empty"
    if len(said) > len(source):
        return "longer than the page"
    if len(source) <= _LEAD_WORDS:
        return ""
    matcher = SequenceMatcher(None, said, source[: len(said) + _SLACK], autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return "copied" if same > _COPIED * len(said) else ""


def lead(page: str) -> str:
    """The first sentences of a page, about as long as a gist; a part of the first one if that is longer."""
    text, end = page.strip(), 0
    for _, last in sentence_spans(text):
        if end and count_words(text[:last]) > _LEAD_WORDS:
            break
        end = last
    return word_limit(text[:end], _LEAD_WORDS)[:_LEAD_CHARACTERS].strip()
