"""Texts compared by their words alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

ARTICLES = frozenset({"a", "an", "the"})
_POSSESSIVE = re.compile(r"['\u2019]s\b")
_INNER_POINT = re.compile(r"(?<=\d)\.(?=\d)")


def normalise(text: str) -> list[str]:
    """The words of a text for comparison.

    Lower-case, without accents, punctuation, possessive endings and articles; dashes and slashes part words, and the
    point of a decimal number stays. Articles are kept where nothing else would remain.
    """
    folded = unicodedata.normalize("NFKD", _POSSESSIVE.sub("", text.casefold()))
    marked = _INNER_POINT.sub("\0", folded)
    words = "".join(_plain(character) for character in marked).replace("\0", ".").split()
    return [word for word in words if word not in ARTICLES] or words


def holds(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether some words stand among others, side by side and in order; no words never do."""
    size = len(wanted)
    return size > 0 and any(list(words[at : at + size]) == list(wanted) for at in range(len(words) - size + 1))


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or character in "/\u2212":
        return " "
    if character == "\0":
        return character
    return "" if category[0] in "PSMC" and not character.isspace() else character
