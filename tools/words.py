"""Words: the one place that says what counts as a word.

A word is a run of letters and digits with their combining marks; an apostrophe inside it belongs to it, and so do
the separators inside a number (``43,000``, ``3.14``). Scripts that are written without spaces (Han, Kana, Thai, Lao,
Khmer, Burmese) give one word per character, so that counts and limits mean something there too.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice

UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1780-\u17d3"
    "\u3041-\u3096\u30a1-\u30fa\u30fc\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Ranges (for a character class) of scripts that are written without spaces between words."""

_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1-\u05c5\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u0900-\u0963\u0966-\u0dff\u0f71-\u0f84"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
)
_LETTER = rf"(?:(?![{UNSPACED}])[^\W_]|[{_MARKS}])"

WORD = (
    rf"\d+(?:[.,]\d+)+{_LETTER}*"
    rf"|[A-Za-z0-9]+(?![^\W_]|[{_MARKS}]|['\u2019\u02bc])"
    rf"|{_LETTER}+(?:['\u2019\u02bc]{_LETTER}+)*|[{UNSPACED}]"
)
"""Pattern of one word; the second branch only makes the usual case fast."""

_STOP_WORDS = """
    a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing down during each either else ever few for from further get got had has have
    having he her here hers herself him himself his how i if in into is it its itself just let may me might more most
    much must my myself no nor not now of off on once one only or other our ours ourselves out over own s same shall
    she should so some such t than that the their theirs them themselves then there these they this those through
    to too under until up upon very was we were what when where which while who whom whose why will with within
    without would yet you your yours yourself yourselves
    don't doesn't didn't isn't aren't wasn't weren't won't wouldn't can't couldn't shouldn't hasn't haven't hadn't
    i'm i've i'll i'd you're you've you'll he's she's it's that's there's we're we've they're they've
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""English words that carry little meaning of their own."""


@cache
def _word() -> re.Pattern[str]:
    """The pattern, compiled when it is first needed: that takes longer than most that is done with it."""
    return re.compile(WORD)


def raw_words(text: str) -> list[str]:
    """The words of ``text`` in order, as they are written but with curly apostrophes made straight."""
    if not text.isascii():
        text = text.replace("\u2019", "'").replace("\u02bc", "'")
    return _word().findall(text)


def words(text: str) -> list[str]:
    """The words of ``text`` in order, lower-cased, with curly apostrophes made straight."""
    return raw_words(text.lower())


def content_words(text: str) -> list[str]:
    """The words of ``text`` without English stop words, in order, repeats kept."""
    return [word for word in words(text) if word not in STOP_WORDS]


def count_words(text: str) -> int:
    """How many words ``text`` holds."""
    return len(_word().findall(text))


def word_limit(text: str, n: int) -> str:
    """The beginning of ``text`` that holds its first ``n`` words; all of it when it has no more than that."""
    if n <= 0:
        return ""
    ends = [match.end() for match in islice(_word().finditer(text), n + 1)]
    return text if len(ends) <= n else text[: ends[n - 1]]
