"""Cut a text into sentences, fast enough for whole libraries (regular expressions, one pass).

The cuts need not please a linguist; they must cover every character, stay bounded, and seldom fall inside a
thought, since chunks, gists and quotes snap to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from rereader.tools.abbreviations import (
    BEFORE_NUMBER,
    GERMAN_MONTHS,
    INITIAL_STARTERS,
    NEVER_LAST,
    ORDINAL_CUES,
    SELDOM_LAST,
    STARTERS,
)

MAX_SENTENCE = 2_000
"""Longest sentence in characters; what is longer is cut at a clause or a space."""

_CLOSERS = "\"'\u2019\u2018\u201d\u201c\u00bb\u00ab\u203a\u2039)\\]}*_\u300d\u300f\u3011\uff09\u300b"
_STOPS = ".!?\u2026\u3002\uff01\uff1f\uff61\u0964\u0965\u061f\u06d4\u0589\u1362\u17d4\u104b"
_LINES = "\n\r\f\u2029"
# What follows a terminator or line end: more terminators and closing quotes, then white space. All of it always
# matches, so that no run of dots, quotes or spaces is looked at twice.
_REST = (
    rf"(?:(?<![{_LINES}])[.!?\u2026\u3002\uff01\uff1f\u0964]*[{_CLOSERS}]*"
    r"(?:[ \u00a0\u202f]\u00bb(?=[\s,;:.]|\Z))?)?\s*"
)
_GREEK_MARK = ";\u037e"
_GREEK = frozenset("\u03b1\u03bf")  # any Greek text longer than a few words has one of these
_THAI = "\u0e32"  # the vowel sign of every third Thai word
_THAI_SPACE = r"(?<=[\u0e01-\u0e45\u0e47-\u0e4e])[ \u00a0]+(?=[\u0e01-\u0e44])"
_LINE_ENDS = frozenset(_LINES)
_FULL_WIDTH = frozenset("\u3002\uff01\uff1f\uff61\u0964\u0965\u06d4\u1362\u17d4\u104b")
_SPACES = " \u00a0\u202f"
_CONTINUES = frozenset(",;:.!?\u2026)]}")
_OPENERS = "\"'\u2018\u201a\u201c\u201e\u00ab\u00bb\u2039\u203a([{*_\u00bf\u00a1\u2014\u2013-"
# What a sentence goes on with after a closing quote: Japanese particles, Chinese verbs of speech.
_SPEECH = re.compile(
    r"[\u3068\u3063\u306f\u304c\u3092\u306b\u306e\u3082\u3067]|"
    r"[\u4e00-\u9fff]{0,6}?[\u8bf4\u8aaa\u9053\u95ee\u554f\u7b54\u558a\u53eb\u7b11\u60f3\u56de]"
)
_LIST_ITEM = re.compile(
    r"(?:[-*+\u2022\u2023\u25aa\u2013\u2014]|\(?(?:\d{1,3}|[A-Za-z]|[ivxlcIVXLC]{1,6})[.)]|#{1,6}|>|\|)[ \t]"
)
_SHORT_LINE = 50
_LOOK_BACK = 24

_NUMBER = re.compile(r"\d|[#\u2116]|[IVXLCDM]{2,}\b|[VX]\b")
_LETTERS = re.compile(r"[^\W\d_]+")
_ELISION = re.compile(r"^[^\W\d_]{1,4}['\u2019]")
_INITIAL = re.compile(r"[^\W\d_]\.")
_SHORT_ABBREVIATION = re.compile(r"[^\W\d_]{1,2}\.")
_ORDINAL = re.compile(r"\d{1,2}\Z|[IVX]{1,5}\Z")
_TURKISH = re.compile("[\u0131\u0130\u011f\u015f]")
_SHORTEST_THAI = 20
_NEAR = 100
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


@cache
def _breaks(greek: bool, thai: bool) -> re.Pattern[str]:
    """Places where a sentence may end; semicolons and spaces only in texts that need them looked at."""
    marks = f"{_STOPS}{_LINES}{_GREEK_MARK if greek else ''}"
    return re.compile(f"[{marks}]{_REST}" + (f"|{_THAI_SPACE}" if thai else ""))


def _borders(text: str) -> Iterator[int]:
    """Ends of sentences, ascending; the last one is the end of the text."""
    size = len(text)
    last = lead = size - len(text.lstrip())
    breaks = _breaks(any(letter in text for letter in _GREEK), _THAI in text)
    for match in breaks.finditer(text, lead):
        start, end = match.span()
        if end == size:
            break
        if text[start] in _LINE_ENDS:
            ends = _is_blank(match.group()) or _line_ends(text, start, end)
        elif text[start].isspace():
            ends = start - last >= _SHORTEST_THAI
        else:
            ends = _sentence_ends(text, start, end, match.group())
        if ends:
            last = end
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
    if _is_blank(space):
        return True
    if text[start] in _FULL_WIDTH:
        return bool(space) or mark[-1] not in _CLOSERS or not _SPEECH.match(text, end)
    if not space or text[end] in _CONTINUES:
        return False
    if "\n" in space and _LIST_ITEM.match(text, end):
        return True
    first = _first_letter(text, end)
    if first.islower():
        return False
    if text[start] in _GREEK_MARK:
        return first.isupper() and "\u0370" <= text[start - 1] <= "\u1fff"
    return mark != "." or not _abbreviates(text, start, end)


def _first_letter(text: str, at: int) -> str:
    """The character at ``at``, or the one after the opening quotes and brackets that stand there."""
    first = text[at]
    return text[at : at + 4].lstrip(_OPENERS + _SPACES)[:1] if first in _OPENERS else first


def _abbreviates(text: str, start: int, end: int) -> bool:
    """Whether the period at ``start`` belongs to an abbreviation, an initial, an ordinal or a list marker."""
    before = text[max(0, start - _LOOK_BACK) : start]
    fields = before.split()
    if not fields or before[-1].isspace():
        return False
    word = _ELISION.sub("", fields[-1].lstrip(_OPENERS))
    lowered = word.lower()
    if lowered in NEVER_LAST or (lowered in BEFORE_NUMBER and _NUMBER.match(text, end)):
        return True
    if _MARKER.match(word) and text[start - len(word) - 1 : start - len(word)] in ("", "\n"):
        return True
    previous = fields[-2].lower() if len(fields) > 1 else ""
    following = _LETTERS.match(text, end)
    next_word = following.group().lower() if following else ""
    if len(word) == 1 and word.isalpha():
        return _is_initial(text, end, word, previous, next_word)
    if lowered in SELDOM_LAST or ("." in word and not word[0].isdigit()):
        return next_word not in STARTERS if next_word else text[end].isdigit() and not word.isascii()
    return _ORDINAL.match(word) is not None and _is_ordinal(text, start, previous, next_word)


def _is_ordinal(text: str, start: int, previous: str, next_word: str) -> bool:
    """Whether a number with a period stands for an ordinal, as in German (*der 2. Weltkrieg*) and Turkish."""
    if next_word in STARTERS or not next_word:
        return False
    if next_word in GERMAN_MONTHS or previous in ORDINAL_CUES:
        return True
    return _TURKISH.search(text, max(0, start - _NEAR), start + _NEAR) is not None


def _is_initial(text: str, end: int, letter: str, previous: str, next_word: str) -> bool:
    """Whether a single letter with a period is an initial, or a part of an abbreviation such as *z. B.*."""
    if letter.isupper():
        known = next_word in INITIAL_STARTERS and not _INITIAL.match(text, end)
        return letter != "I" and bool(next_word) and not known
    if not letter.islower():  # Arabic or Hebrew, where a numeral before it makes it a unit
        return not previous.isdigit()
    chained = _SHORT_ABBREVIATION.fullmatch(previous) or _SHORT_ABBREVIATION.match(text, end)
    return bool((chained or letter in SELDOM_LAST) and next_word and next_word not in STARTERS)


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
