"""The page break: the reader is shown the page before and labelled paragraphs, and says where the page ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rereader.agents.calls import Caller, Request
from rereader.agents.context import RunContext
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, load
from rereader.schema import InputError, Span
from rereader.tools.paging import parse_label, thinned

LETTERS = "ABCDEFGHIJKLMNOPQRST"
"""Labels that are scored: one token each, and no more than a server tells the likelihood of."""
REPLY_TOKENS = 16
"""Most tokens of a label that is written."""


@dataclass(frozen=True)
class Paragraphs:
    """A document cut into paragraphs, given as offsets."""

    document_id: str
    text: str
    spans: Sequence[tuple[int, int]]

    def span(self, first: int, last: int) -> Span:
        """Where paragraphs ``[first, last)`` stand; they are not none."""
        return Span(document_id=self.document_id, start=self.spans[first][0], end=self.spans[last - 1][1])

    def piece(self, first: int, last: int) -> Piece:
        """The same for a prompt."""
        span = self.span(first, last)
        return Piece(self.text[span.start : span.end], span=span)


def choose_end(
    context: RunContext, reader: Caller, paragraphs: Paragraphs, before: int, start: int, ends: Sequence[int]
) -> int:
    """Position of the end whose label is the likeliest reply; of too many ends some are left out, never the last."""
    shown = thinned(len(ends), len(LETTERS))
    labels = list(LETTERS[: len(shown)])
    passage = _labelled(paragraphs, start, [ends[i] for i in shown], labels)
    request = _request(context, reader, _page_before(paragraphs, before, start), passage, 1)
    return shown[int(np.argmax(reader.choose([request], labels)[0]))]


def write_end(
    context: RunContext, reader: Caller, paragraphs: Paragraphs, before: int, start: int, ends: Sequence[int]
) -> int:
    """Position of the end whose label the reader writes; the last one where it writes none that there is."""
    passage = _labelled(paragraphs, start, ends, [str(number) for number in range(1, len(ends) + 1)])
    request = _request(context, reader, _page_before(paragraphs, before, start), passage, REPLY_TOKENS)
    reply = reader.generate([request], Sampling(max_new_tokens=REPLY_TOKENS, seed=context.settings.seed))[0]
    chosen = parse_label(reply.text, len(ends))
    if chosen is None:
        context.usage.parse_failures += 1
        return len(ends) - 1
    return chosen


def _labelled(paragraphs: Paragraphs, start: int, ends: Sequence[int], labels: Sequence[str]) -> list[Piece]:
    """Paragraphs from ``start`` on, with a label at each possible end."""
    pieces: list[Piece] = []
    for end, label in zip(ends, labels, strict=True):
        pieces += [paragraphs.piece(start, end), Piece(f"<{label}>\n\n", trusted=True)]
        start = end
    return pieces


def _page_before(paragraphs: Paragraphs, before: int, start: int) -> list[Piece]:
    """The page before, if there is one."""
    if before == start:
        return []
    head, foot = Piece("The page before:\n", trusted=True), Piece("\n\n", trusted=True)
    return [head, paragraphs.piece(before, start), foot]


def _request(context: RunContext, reader: Caller, before: list[Piece], passage: list[Piece], reply: int) -> Request:
    """The prompt; without the page before where the window is too small for both.

    Raises:
        InputError: If it is too small for the passage alone.
    """
    model = reader.model
    for shown in [before, []] if before else [[]]:
        request = Request(load("page_break"), {"before": shown, "passage": passage})
        if model.prompt_tokens([request.prompt])[0] + reply <= model.context_window:
            return request
        if shown:
            context.warn(
                f"The window of {model.name} is too small to show the page before where a page's end is chosen."
            )
    raise too_large(context, reader)


def too_large(context: RunContext, caller: Caller) -> InputError:
    """What to say of a page that a model cannot read at once."""
    msg = f"A page of up to {context.settings.max_words} words does not fit the window of {caller.model.name}."
    return InputError(msg, "Lower max_words and min_words, or choose a model with a larger window.")
