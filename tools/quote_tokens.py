"""The tokens in which quotes are compared, with their places in the source.

Two wordings are the same when their tokens are: white space, punctuation, quotation marks and dashes are no tokens,
and a token is compared in NFKC form, without case, with straight apostrophes and without thousands commas. Accents
count. ``n't`` and ``cannot`` are compared as *not*, so that a contraction equals its long form and never loses its
negation. Signs, currencies, per cent and comparisons before a number are tokens, because they change what is said.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from rereader.tools.words import STOP_WORDS, WORD

_TOKEN = re.compile(
    r"(?:(?<![^\s(\[])[-\u2212])?\d+(?:[.,:/]\d+)+|(?<![^\s(\[])[-\u2212]\d+"
    rf"|{WORD}"
    r"|[%\u2030\u00b0$\u20ac\u00a3\u00a5\u00a2\uff05\uff04\uffe1\uffe5]"
    r"|[<>\u2264\u2265=\u2260\u00b1\u00d7\u00f7](?=\s?\d)"
)
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_IRREGULAR = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}
_REACH = 64
_JOINT = "\x1f"

_NEGATION_WORDS = """
no not never none nor neither nobody nothing nowhere without cannot nay hardly scarcely barely seldom rarely unless
except unable lack lacks lacked lacking fail fails failed deny denies denied refuse refuses refused false dont cant wont
nicht kein keine keinen keiner keinem nie niemals nichts ohne weder ne pas jamais rien sans aucun aucune non nunca
jam\u00e1s sin nada nadie tampoco niet geen nooit mai senza n\u00e3o sem
"""
_NUMBER_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million millions
billion billions trillion dozen dozens score half halves quarter quarters third thirds first second fourth fifth sixth
seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth
twentieth thirtieth fortieth fiftieth hundredth thousandth once twice thrice double triple both single
"""
_QUANTITIES = "all every each any some only most least more less fewer few many much always often before after"
NEGATIONS = frozenset(_NEGATION_WORDS.split())
"""Words that deny, in English and its neighbours."""
POLAR_WORDS = frozenset(f"{_NEGATION_WORDS} {_NUMBER_WORDS} {_QUANTITIES}".split())
"""Negations, number words and quantities: words that never may differ between a quote and its source."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a stretch of text.

    Args:
        norms: What is compared.
        raws: The token as it is written; the two halves of a contraction share it, and their places.
        starts: Offset of each token's first character in the whole text.
        ends: Offset after its last character.
    """

    norms: list[str]
    raws: list[str]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.norms)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Token numbers by compared form, ascending."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for number, norm in enumerate(self.norms):
            found[norm].append(number)
        return found

    @cached_property
    def joined(self) -> str:
        """All compared forms in one string, each between two separators, for fast search."""
        return _JOINT + _JOINT.join(self.norms) + _JOINT

    @cached_property
    def joints(self) -> list[int]:
        """Where each token's leading separator stands in :attr:`joined`."""
        offsets, offset = [], 0
        for norm in self.norms:
            offsets.append(offset)
            offset += len(norm) + 1
        return offsets

    def is_hard(self, number: int) -> bool:
        """Whether a token may neither be changed, nor left out, nor added; see :func:`is_hard`."""
        return is_hard(self.raws[number], self.norms[number])

    def splits_contraction(self, number: int) -> bool:
        """Whether the border before token ``number`` lies inside a contraction."""
        return 0 < number < len(self) and self.starts[number] == self.starts[number - 1]


def tokenize(text: str, start: int = 0, end: int | None = None) -> Tokens:
    """The tokens that lie wholly inside ``text[start:end]``; offsets are those of ``text``."""
    end = len(text) if end is None else end
    tokens = Tokens([], [], [], [])
    known: dict[str, tuple[str, ...]] = {}
    cut_head, cut_tail = splits_token(text, start), splits_token(text, end)
    for match in _TOKEN.finditer(text, start, end):
        low, high = match.span()
        if (cut_head and low == start) or (cut_tail and high == end):
            continue
        raw = match.group()
        norms = known.get(raw)
        if norms is None:
            norms = known[raw] = _normalise(raw)
        for norm in norms:
            tokens.norms.append(norm)
            tokens.raws.append(raw)
            tokens.starts.append(low)
            tokens.ends.append(high)
    return tokens


def splits_token(text: str, at: int) -> bool:
    """Whether the border before character ``at`` lies inside a token (``can|'t``, ``43|,000``)."""
    if at <= 0 or at >= len(text) or text[at - 1].isspace() or text[at].isspace():
        return False
    before = text[max(0, at - _REACH) : at]
    start = at - len(before.split()[-1])
    for match in _TOKEN.finditer(text, start, min(len(text), at + _REACH)):
        if match.end() > at:
            return match.start() < at
    return False


def is_hard(raw: str, norm: str) -> bool:
    """Whether a token carries a number, a name, a negation or a quantity.

    A name is a word with a capital that is no stop word, wherever it stands. In scripts without capitals every word
    counts as hard, since a name there cannot be told.
    """
    if norm in POLAR_WORDS or not norm[0].isalpha() or any(map(str.isdigit, norm)):
        return True
    if norm in STOP_WORDS:
        return False
    return raw != raw.lower() or raw.lower() == raw.upper()


def without_accents(word: str) -> str:
    """The word without combining marks."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _normalise(raw: str) -> tuple[str, ...]:
    norm = raw.lower() if raw.isascii() else _fold(raw)
    if "'" in norm and norm.endswith("n't") and len(norm) > 3:
        stem = norm[:-3]
        return (_IRREGULAR.get(stem, stem), "not")
    if norm == "cannot":
        return ("can", "not")
    if "," in norm and _THOUSANDS.fullmatch(norm):
        norm = norm.replace(",", "")
    return (norm,)


def _fold(raw: str) -> str:
    # A superscript is no digit of the number before it: NFKC would make 10² the number 102.
    raised = any(letter.isdigit() and not letter.isdecimal() for letter in raw)
    folded = unicodedata.normalize("NFC" if raised else "NFKC", raw).casefold()
    folded = unicodedata.normalize("NFC" if raised else "NFKC", folded)
    return folded.replace("\u2019", "'").replace("\u02bc", "'").replace("\u2212", "-")
