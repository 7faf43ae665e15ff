"""Cut a text into sentences, fast enough for whole libraries (regular expressions, one pass).

The cuts need not please a linguist; they must cover every character, stay bounded, and seldom fall inside a
thought, since chunks, gists and quotes snap to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_SENTENCE = 2_000
"""Longest sentence in characters; what is longer is cut at a clause or a space."""

_CLOSERS = "\"'\u2019\u201d\u00bb\u203a)\\]}*_\u300d\u300f\u3011\uff09\u300b"
# A terminator with its closing quotes, or a line end; then white space. The parts after the first character always
# match, so that no run of dots, quotes or spaces is looked at twice.
_BREAK = re.compile(
    r"[.!?\u2026\u3002\uff01\uff1f\uff61\u0964\u061f\u06d4\n\r\f\u2029]"
    rf"(?:(?<![\n\r\f\u2029])[.!?\u2026\u3002\uff01\uff1f]*[{_CLOSERS}]*)?\s*"
)
_LINE_ENDS = frozenset("\n\r\f\u2029")
_FULL_WIDTH = frozenset("\u3002\uff01\uff1f\uff61\u0964\u06d4")
_CONTINUES = frozenset(",;:.!?\u2026)]}")
_OPENERS = "\"'\u2018\u201c\u00ab\u2039([{*_\u00bf\u00a1\u2014\u2013-"
_LIST_ITEM = re.compile(
    r"(?:[-*+\u2022\u2023\u25aa\u2013\u2014]|\(?(?:\d{1,3}|[A-Za-z]|[ivxlcIVXLC]{1,6})[.)]|#{1,6}|>|\|)[ \t]"
)
_SHORT_LINE = 50
_LOOK_BACK = 24

_TITLES = "mr mrs ms mm messrs mme mlle dr prof st ste sta rev hon pres gov gen col maj capt cmdr lt sgt cpl adm"
_LATIN = "vs viz cf eg e.g i.e ie approx esp incl resp mgr msgr sra srta sr dna z.b d.h u.a bzw hr"
_NEVER_LAST = frozenset(f"{_TITLES} {_LATIN}".split())
_CITED = "no nos nr p pp vol vols ch chap fig figs eq eqs sec sect art bk par tab ed op lib cap vv ll c ca"
_MONTHS = "jan feb mar apr jun jul aug sep sept oct nov dec"
_BEFORE_NUMBER = frozenset(f"{_CITED} {_MONTHS}".split())
_NUMBER = re.compile(r"\d|[#\u2116]|[IVXLCDM]{2,}\b|[VX]\b")
_SELDOM_LAST = frozenset({"inc", "ltd", "co", "corp", "jr", "bros", "etc", "al", "dept", "univ", "esq"})
_FIRST_WORDS = """
the a an he she it we they you i but and so then this that these those in on at if when as there what who why how his
her its their our my your no yes not for with after before
"""
_STARTERS = frozenset(_FIRST_WORDS.split())
_LETTERS = re.compile(r"[^\W\d_]+")
_MARKER = re.compile(r"(?:\d{1,3}|[A-Za-z]|[IVXLC]{1,6})\Z")

_CLAUSE = re.compile(r"[;:,\u2014\u3001\uff0c\uff1b\uff1a]\s+|[\u3001\uff0c\uff1b\uff1a]")
_SPACE = re.compile(r"\s")
_JOINED = re.compile("[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\u0900-\u0903\u093a-\u094f]")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Sentences of ``text`` as half-open offsets, in order, that together cover every character.

    White space after a sentence belongs to it, and so does white space at the beginning of the text to the first. A
    blank line always ends a sentence; so do list items, headings and the lines of verse. No sentence is longer than
    :data:`MAX_SENTENCE` characters, white space included.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _borders(text):
        if end - start > MAX_SENTENCE:
            spans.extend(_cut(text, start, end))
        else:
            spans.append((start, end))
        start = end
    return spans


def _borders(text: str) -> Iterator[int]:
    """Ends of sentences, ascending; the last one is the end of the text."""
    size = len(text)
    lead = size - len(text.lstrip())
    for match in _BREAK.finditer(text, lead):
        start, end = match.span()
        if end == size:
            break
        if text[start] in _LINE_ENDS:
            ends = _is_blank(match.group()) or _line_ends(text, start, end)
        else:
            ends = _sentence_ends(text, start, end, match.group())
        if ends:
            yield end
    if size:
        yield size


def _is_blank(space: str) -> bool:
    """Whether white space holds a paragraph border: an empty line, a form feed, a paragraph separator."""
    return space.count("\n") > 1 or space.count("\r") > 1 or "\f" in space or "\u2029" in space


def _line_ends(text: str, start: int, end: int) -> bool:
    """Whether a lone line end at ``start`` ends a list item, a heading or a line of verse; prose only wraps there."""
    if _LIST_ITEM.match(text, end):
        return True
    floor = max(0, start - _SHORT_LINE)
    before = text.rfind("\n", floor, start)
    if before < 0 and floor > 0:
        return False
    line = text[before + 1 : start]
    if line.startswith("#"):
        return True
    return not line.rstrip().endswith((",", "-", "\u2014")) and _first_letter(text, end).isupper()


def _sentence_ends(text: str, start: int, end: int, matched: str) -> bool:
    """Whether the terminator at ``start``, whose closers and white space reach to ``end``, ends a sentence."""
    mark = matched.rstrip()
    space = matched[len(mark) :]
    if text[start] in _FULL_WIDTH or _is_blank(space):
        return True
    if not space or text[end] in _CONTINUES:
        return False
    if "\n" in space and _LIST_ITEM.match(text, end):
        return True
    if _first_letter(text, end).islower():
        return False
    return mark != "." or not _abbreviates(text, start, end)


def _first_letter(text: str, at: int) -> str:
    """The character at ``at``, or the one after the opening quotes and brackets that stand there."""
    first = text[at]
    return text[at : at + 4].lstrip(_OPENERS)[:1] if first in _OPENERS else first


def _abbreviates(text: str, start: int, end: int) -> bool:
    """Whether the period at ``start`` belongs to an abbreviation, an initial or a list marker, not to a sentence."""
    before = text[max(0, start - _LOOK_BACK) : start]
    fields = before.split()
    if not fields or before[-1].isspace():
        return False
    word = fields[-1].lstrip(_OPENERS)
    lowered = word.lower()
    if lowered in _NEVER_LAST:
        return True
    if lowered in _BEFORE_NUMBER:
        return _NUMBER.match(text, end) is not None
    if _MARKER.match(word) and text[start - len(word) - 1 : start - len(word)] in ("", "\n"):
        return True
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    if is_initial or "." in word or lowered in _SELDOM_LAST:
        following = _LETTERS.match(text, end)
        return following is not None and following.group().lower() not in _STARTERS
    return False


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut an overlong sentence near the limit: after a clause, else at white space, else between characters."""
    while end - start > MAX_SENTENCE:
        low, high = start + MAX_SENTENCE // 2, start + MAX_SENTENCE
        border = _last_end(_CLAUSE, text, low, high) or _last_end(_SPACE, text, low, high) or high
        while border > low and _JOINED.match(text, border):
            border -= 1
        yield start, border
        start = border
    yield start, end


def _last_end(pattern: re.Pattern[str], text: str, low: int, high: int) -> int:
    return max((match.end() for match in pattern.finditer(text, low, high)), default=0)
