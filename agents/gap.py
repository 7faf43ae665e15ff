"""Finds the words that rest on something far back, and what they rest on: the key tokens of ARL (arXiv 2601.13734).

No question is involved. A word that a model foretells well after a long stretch of text and badly after a short one was
prepared earlier; of the earlier passages that may have prepared it, the one is taken after which it is most likely.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.agents.blocks import blocks
from rereader.agents.calls import Caller, Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.segments import SEGMENT_TOKENS, Key, segment_of, span_in, stretches_of
from rereader.prompts.loader import Piece, load
from rereader.schema import Document, InputError, Record, RecordKind, Span
from rereader.tools.key_tokens import KeyRule, key_tokens
from rereader.tools.words import WORD, content_words

RULE = KeyRule()
_SLACK = 64
"""Tokens that a text may have more if it is tokenised in one piece."""
_LONGEST_WORD = 64
_WORD = re.compile(WORD)


@dataclass(frozen=True)
class Losses:
    """Losses of a document's tokens, and the characters ``[start, end)`` of each."""

    spans: NDArray[np.int64]
    long: NDArray[np.float32]
    short: NDArray[np.float32]


def gap_cost(settings: Any, facts: Facts) -> StageCost:
    """Every token is read twice after each context; for each word that is found, every candidate once. At most."""
    half = max(1, min(settings.long_tokens, facts.scorer_window - _SLACK) // 2)
    long = [document.tokens for document in facts.documents if document.tokens > settings.short_tokens]
    read = sum(4 * tokens for tokens in long)
    calls = sum(-(-tokens // half) for tokens in long)
    tries = settings.candidates * sum(-(-tokens // RULE.stretch) for tokens in long)
    read += tries * (settings.short_tokens + SEGMENT_TOKENS + PROMPT_TOKENS)
    return StageCost("gap", (Work("score", "scorer", read, calls=calls + tries),))


@costs(gap_cost)
def find_keys(state: ReadingState, context: RunContext) -> Outcome:
    """Node: the words that rest on something far back, and the segments that they rest on."""
    scorer = _scorer(context)
    found: list[tuple[int, Key, Span]] = []
    for position, document in enumerate(context.documents):
        losses = text_losses(context, scorer, document)
        words, started = _keys(context, document, losses), time.monotonic()
        stretches = stretches_of(context, scorer, document) if words else []
        for number, key in enumerate(words):
            context.checkpoint()
            context.progress("gap", started, number, len(words))
            segment = segment_of(context, scorer, document, key, stretches)
            if segment is not None:
                found.append((position, key, segment))
    context.library.records.add([_record(context, i, *one) for i, one in enumerate(found)])
    keys = [[position, key.start, key.end, segment.start, segment.end] for position, key, segment in found]
    losses_of = [[round(key.long, 3), round(key.short, 3)] for _, key, _ in found]
    return Outcome({"keys": keys}, {"keys": keys, "losses": losses_of})


def _scorer(context: RunContext) -> Caller:
    scorer = context.need("scorer")
    if not scorer.model.capabilities.white_box:
        msg = f"The scorer {scorer.model.name} does not tell how likely the words of a text are."
        raise InputError(msg, "Choose a local model that transformers runs, with --role scorer=NAME.")
    return scorer


def text_losses(context: RunContext, scorer: Caller, document: Document) -> Losses:
    """Losses of a document's tokens, found block by block; each block follows the one before it.

    A document that is no longer than the short context has none.
    """
    settings, started = context.settings, time.monotonic()
    half = max(1, min(settings.long_tokens, scorer.model.context_window - _SLACK) // 2)
    parts = [span for span in blocks(context, scorer.model, half) if span.document_id == document.id]
    pieces = [Piece(context.library.documents.text_of(span), span=span) for span in parts]
    sizes = scorer.model.count_tokens([piece.text for piece in pieces])
    none = Losses(np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    if sum(sizes) <= settings.short_tokens:
        return none
    found = [none]
    for number, (piece, span) in enumerate(zip(pieces, parts, strict=True)):
        context.checkpoint()
        context.progress("gap", started, sum(sizes[:number]), sum(sizes))
        request = Request(load("losses"), {"before": pieces[max(0, number - 1) : number], "text": [piece]})
        long, short = scorer.losses(request, (2 * half + _SLACK, settings.short_tokens))
        [places] = scorer.model.token_spans([piece.text])
        found.append(Losses(np.array(places, np.int64).reshape(-1, 2) + span.start, long, short))
    context.progress("gap", started, sum(sizes), sum(sizes))
    columns = zip(*((part.spans, part.long, part.short) for part in found), strict=True)
    return Losses(*(np.concatenate(column) for column in columns))


def _keys(context: RunContext, document: Document, losses: Losses) -> list[Key]:
    """The words that rest on something far back, in the order of the text."""

    def counts(token: int) -> bool:
        word = _word_at(context, document, losses, token)
        return word is not None and bool(content_words(context.library.documents.slice(document.id, *word)))

    made = []
    for token in key_tokens(losses.long, losses.short, counts, RULE):
        word = _word_at(context, document, losses, token)
        assert word is not None, "only tokens of words count"
        prefix = int(losses.spans[max(0, token - context.settings.short_tokens), 0])
        made.append(Key(*word, prefix, float(losses.long[token]), float(losses.short[token])))
    return made


def _word_at(context: RunContext, document: Document, losses: Losses, token: int) -> tuple[int, int] | None:
    """Characters of the word that a token is part of; ``None`` for a token without one."""
    start, end = map(int, losses.spans[token])
    text = context.library.documents.slice(document.id, start, end)
    inside = start + len(text) - len(text.lstrip())
    if inside == end:
        return None
    begin = max(0, inside - _LONGEST_WORD)
    around = context.library.documents.slice(document.id, begin, inside + _LONGEST_WORD)
    for found in _WORD.finditer(around):
        if begin + found.start() <= inside < begin + found.end():
            return begin + found.start(), begin + found.end()
    return None


def _record(context: RunContext, ordinal: int, position: int, key: Key, segment: Span) -> Record:
    return Record.create(
        run_id=context.run_id,
        kind=RecordKind.NOTE,
        content=context.library.documents.text_of(segment),
        agent="gap",
        spans=[segment, span_in(context.documents[position], key.start, key.end)],
        step=context.step,
        ordinal=ordinal,
        model=context.need("scorer").model.name,
    )
