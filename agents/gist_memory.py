"""The gist memory: the gists of all pages in order, some replaced by the pages themselves, made to fit a window.

After ReadAgent (arXiv 2402.09727, section 3.3), whose memory always fits. Of too many gists those least like the
question are left out, and of too many pages read again the last named come back as gists; both are said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.agents.calls import Caller, Request
from rereader.agents.context import RunContext
from rereader.agents.costs import TOKENS_PER_WORD
from rereader.agents.languages import warn_of_language
from rereader.agents.pages import Page, pages_of
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import InputError

LOOKUP_TOKENS = 48
"""Most tokens of a reply that names pages."""
_BATCH = 64


@dataclass(frozen=True)
class GistMemory:
    """What the reader remembers.

    Args:
        pages: The pages whose gists are shown, in order.
        raw: Numbers of those that are shown in full, the most wanted first.
        left_out: How many pages are not shown at all.
    """

    pages: tuple[Page, ...]
    raw: tuple[int, ...] = ()
    left_out: int = 0

    def pieces(self, context: RunContext, *, tagged: bool) -> list[Piece]:
        """For a prompt's slot: paragraphs, under page numbers if ``tagged``, and titles if documents are several."""
        pieces: list[Piece] = []
        titles = {document.id: document.title for document in context.documents if len(context.documents) > 1}
        for page in self.pages:
            title = titles.pop(page.span.document_id, "")
            if title:
                pieces += [Piece("# ", trusted=True), Piece(title), Piece("\n\n", trusted=True)]
            if tagged:
                pieces.append(Piece(f"Page {page.number}:\n", trusted=True))
            pieces += [self._piece(context, page), Piece("\n\n", trusted=True)]
        return pieces

    def _piece(self, context: RunContext, page: Page) -> Piece:
        if page.number in self.raw:
            return Piece(context.library.documents.text_of(page.span), span=page.span)
        return Piece(page.gist.content, record=page.gist.id)

    @property
    def expanded(self) -> list[Page]:
        """The pages that are shown in full, in order."""
        return [page for page in self.pages if page.number in self.raw]

    @property
    def characters(self) -> int:
        """Characters of all gists and pages that are shown."""
        return sum(len(page.span if page.number in self.raw else page.gist.content) for page in self.pages)


def remember(context: RunContext, reader: Caller, question: str) -> GistMemory:
    """The gists that the run works with: all of them, or those most like the question where they do not fit.

    Room is set aside for the pages that will be read again: a long document would leave none for them. Every step of a
    run remembers the same.

    Raises:
        InputError: If the window has no room for one gist.
    """
    pages = pages_of(context)
    room = (
        reader.model.context_window - max(LOOKUP_TOKENS, context.settings.max_new_tokens) - set_aside(context, reader)
    )
    if _fits(context, reader, question, pages, room):
        return GistMemory(tuple(pages))
    order = np.argsort(-similarities(context, question, pages), kind="stable").tolist()
    sizes = np.cumsum(reader.model.count_tokens([pages[i].gist.content for i in order]))
    most = int(np.searchsorted(sizes, max(0, room), side="right"))

    def best(count: int) -> list[Page]:
        return [pages[i] for i in sorted(order[:count])]

    counts = range(1, most + 1)
    kept = bisect_left(counts, True, key=lambda count: not _fits(context, reader, question, best(count), room))
    if not kept:
        msg = f"Not one gist fits the window of {reader.model.name} beside the question."
        raise InputError(msg, "Lower max_words or gist_tokens, or choose a reader with a larger window.")
    context.warn(
        f"The gists of {len(pages):,} pages do not fit the window of {reader.model.name} beside the pages to be read "
        f"again; the {len(pages) - kept:,} least like the question were left out."
    )
    return GistMemory(tuple(best(kept)), left_out=len(pages) - kept)


def _fits(context: RunContext, reader: Caller, question: str, pages: Sequence[Page], room: int) -> bool:
    slots: dict[str, SlotValue] = {
        "memory": GistMemory(tuple(pages)).pieces(context, tagged=True),
        "question": question,
        "read": "none",
    }
    return reader.model.prompt_tokens([Request(load("lookup_sequential"), slots).prompt])[0] <= room


def set_aside(context: RunContext, reader: Caller) -> int:
    """Tokens kept free for pages in full, at most half of the window."""
    tokens: int = round(most_looked_up(context.settings) * context.settings.max_words * TOKENS_PER_WORD)
    return min(tokens, reader.model.context_window // 2)


def most_looked_up(settings: Any) -> int:
    """Pages that are read again at most."""
    pages: int = settings.pages
    others: dict[str, int] = {"none": 0, "sequential": settings.turns, "hybrid": pages + 1}
    return others.get(settings.lookup, pages)


def fit(
    context: RunContext, reader: Caller, memory: GistMemory, request: Callable[[GistMemory], Request], reply: int
) -> GistMemory:
    """The memory with as many pages in full as the prompt has room for, the most wanted ones.

    Raises:
        InputError: If it does not even fit without them.
    """
    for count in range(len(memory.raw), -1, -1):
        held = replace(memory, raw=memory.raw[:count])
        if reader.model.prompt_tokens([request(held).prompt])[0] + reply <= reader.model.context_window:
            if count < len(memory.raw):
                gone = ", ".join(str(number) for number in memory.raw[count:])
                context.warn(
                    f"The window of {reader.model.name} has no room for page {gone} in full; its gist was shown."
                )
            return held
    msg = f"The gists do not fit the window of {reader.model.name}."
    raise InputError(msg, "Lower gist_tokens or max_new_tokens, or choose a reader with a larger window.")


def similarities(context: RunContext, question: str, pages: Sequence[Page]) -> NDArray[np.float32]:
    """Cosine between the question and each page's gist, by the embedder's first window of it: float32 [n]."""
    for document in context.documents:
        warn_of_language(context, document.id)
    asked = context.embed.embed([question], kind="query")[0]
    found = []
    for first in range(0, len(pages), _BATCH):
        context.checkpoint()
        found.append(context.embed.embed([page.gist.content for page in pages[first : first + _BATCH]]) @ asked)
    return np.concatenate(found)
