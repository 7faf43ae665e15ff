"""Find a model's quote in the source and replace it by the source's own words.

Three ways, in this order: *exact* (character by character, between token borders); *normalised* (the same tokens, see
:mod:`rereader.tools.quote_tokens`); *aligned* (small differences, see :mod:`rereader.tools.alignment`). A changed,
added or missing number, name, negation or quantity never matches. An ellipsis in the claim may leave words out, names
and numbers too, but no negation, and at most :data:`MAX_ELISION` characters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rereader.schema import InputError, Match, Quote, Span
from rereader.tools.alignment import align
from rereader.tools.quote_tokens import NEGATIONS, Tokens, splits_token, tokenize
from rereader.tools.words import STOP_WORDS

MAX_ELISION = 1_000
"""Most characters that an ellipsis may stand for."""

_LEAST_CHARACTERS = 2
_MOST_TRIES = 64
_ELLIPSIS = re.compile(r"[\[(]?(?:\u2026|\.\s?\.\s?\.)[.\s\u2026]*[\])]?")
_QUOTE_MARKS = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u300c\u300d \t\n"

Place = tuple[int, int]


@dataclass(frozen=True)
class _Claim:
    """A model's quote: its wording, its tokens, and the parts between its ellipses."""

    claimed: str
    tokens: Tokens
    parts: list[Tokens]


@dataclass(frozen=True)
class _Window:
    """The part ``[start, end)`` of ``text`` in which quotes are looked for; tokenised when first needed."""

    text: str
    start: int
    end: int

    @cached_property
    def tokens(self) -> Tokens:
        return tokenize(self.text, self.start, self.end)


def match_quote(claimed: str, text: str, *, document_id: str, start: int = 0, end: int | None = None) -> Quote | None:
    """Find ``claimed`` inside ``text[start:end]``.

    Args:
        claimed: The model's wording; marks of quotation around it do not matter.
        text: The document's text.
        document_id: Goes into the quote's span.
        start: First character to look at.
        end: Character after the last; the end of the text when left out.

    Returns:
        The quote, whose ``text`` is exactly the source slice of its span, or ``None`` when the source does not hold
        it or it says nothing (fewer than two letters or digits, or only stop words).
    """
    window = _Window(text, start, len(text) if end is None else min(end, len(text)))
    return _first_match(claimed, [window], [Span(document_id=document_id, start=0, end=len(text))])


def find_quotes(claims: Sequence[str], passages: Sequence[tuple[Span, str]]) -> list[Quote | None]:
    """Find each claim in passages ``(span, text of the span)``, tried in order.

    An exact match in any passage comes before a normalised one in any, and that before an aligned one.

    Raises:
        InputError: If a passage's text is not as long as its span.
    """
    for span, text in passages:
        if len(span) != len(text):
            msg = f"A passage of {len(text):,} characters was given for a span of {len(span):,}."
            raise InputError(msg, "Pass the document's own text from span.start to span.end.")
    windows = [_Window(text, 0, len(text)) for _, text in passages]
    spans = [span for span, _ in passages]
    return [_first_match(claimed, windows, spans) for claimed in claims]


def _first_match(claimed: str, windows: Sequence[_Window], spans: Sequence[Span]) -> Quote | None:
    claim = _parse(claimed)
    if claim is None:
        return None
    for match, search in _SEARCHES:
        for window, span in zip(windows, spans, strict=True):
            place = search(claim, window)
            if place:
                return _quote(claimed, window.text, span, place, match)
    return None


def _quote(claimed: str, text: str, span: Span, place: Place, match: Match) -> Quote:
    start, end = place
    found = Span(document_id=span.document_id, start=span.start + start, end=span.start + end)
    return Quote(span=found, text=text[start:end], claimed=claimed, match=match)


def _parse(claimed: str) -> _Claim | None:
    """The claim, or ``None`` when it is trivial."""
    tokens = tokenize(claimed)
    if sum(map(len, tokens.norms)) < _LEAST_CHARACTERS or STOP_WORDS.issuperset(tokens.norms):
        return None
    parts = [tokenize(part) for part in _ELLIPSIS.split(claimed)]
    return _Claim(claimed, tokens, [part for part in parts if len(part)])


def _exact(claim: _Claim, window: _Window) -> Place | None:
    wordings = dict.fromkeys((claim.claimed.strip(), claim.claimed.strip(_QUOTE_MARKS)))
    for wording in wordings:
        at = window.text.find(wording, window.start, window.end)
        for _ in range(_MOST_TRIES):
            if at < 0:
                break
            end = at + len(wording)
            if not splits_token(window.text, at) and not splits_token(window.text, end):
                return at, end
            at = window.text.find(wording, at + 1, window.end)
    return None


def _normalised(claim: _Claim, window: _Window) -> Place | None:
    found = next(_same_tokens(claim.tokens, window.tokens), None)
    return _place(window.tokens, *found) if found else None


def _aligned(claim: _Claim, window: _Window) -> Place | None:
    if len(claim.parts) > 1:
        return _elided(claim.parts, window)
    found = align(claim.parts[0], window.tokens)
    if found is None or _splits(window.tokens, found.start, found.end):
        return None
    return _place(window.tokens, found.start, found.end)


_SEARCHES: tuple[tuple[Match, Callable[[_Claim, _Window], Place | None]], ...] = (
    (Match.EXACT, _exact),
    (Match.NORMALISED, _normalised),
    (Match.ALIGNED, _aligned),
)


def _same_tokens(claim: Tokens, source: Tokens, low: int = 0) -> Iterator[Place]:
    """Token ranges of the source, from ``low`` on, that equal the claim's tokens."""
    if low >= len(source):
        return
    at = source.joined.find(claim.joined, source.joints[low])
    for _ in range(_MOST_TRIES):
        if at < 0:
            return
        first = bisect_left(source.joints, at)
        end = first + len(claim)
        if not _splits(source, first, end):
            yield first, end
        at = source.joined.find(claim.joined, at + 1)


def _splits(source: Tokens, first: int, end: int) -> bool:
    return source.splits_contraction(first) or source.splits_contraction(end)


def _place(source: Tokens, first: int, end: int) -> Place:
    return source.starts[first], source.ends[end - 1]


def _elided(parts: Sequence[Tokens], window: _Window) -> Place | None:
    """Place the parts between ellipses one after the other; nothing negated may be left out between them."""
    if any(STOP_WORDS.issuperset(part.norms) for part in parts):
        return None
    source = window.tokens
    for first, end in _part_places(parts[0], source, 0, len(source)):
        last = _follow(parts[1:], source, end)
        if last is not None:
            return _place(source, first, last)
    return None


def _follow(parts: Sequence[Tokens], source: Tokens, end: int) -> int | None:
    """The token after the last part when all parts follow closely after token ``end``."""
    for part in parts:
        reach = bisect_left(source.starts, source.ends[end - 1] + MAX_ELISION)
        found = next(_part_places(part, source, end, min(len(source), reach + len(part))), None)
        if found is None or not NEGATIONS.isdisjoint(source.norms[end : found[0]]):
            return None
        end = found[1]
    return end


def _part_places(part: Tokens, source: Tokens, low: int, high: int) -> Iterator[Place]:
    """Places of one part among the source tokens ``[low, high)``: the same tokens, or else the best alignment."""
    same = False
    for first, end in _same_tokens(part, source, low):
        if end > high:
            break
        same = True
        yield first, end
    found = None if same else align(part, source, low, high)
    if found and not _splits(source, found.start, found.end):
        yield found.start, found.end
