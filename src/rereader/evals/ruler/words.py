"""The two tasks that count words over the whole text: common words of a list, frequent words of a coded text."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from itertools import chain, repeat
from random import Random

from rereader.evals.ruler.sample import Sample
from rereader.evals.ruler.sources import Sources
from rereader.schema.errors import InputError

COMMON = 10
FREQUENT = 3
DOTS = "..."
_SHORT = 4096
"""Below so many tokens the list repeats common words 6 times and others once."""
_LETTERS = 6
_TOKENS_PER_WORD = 50
"""Tokens of the text for each different word of the code."""
_ZETA_2 = math.pi**2 / 6


def common_words(sources: Sources, rng: Random, units: int, tokens: int) -> Sample:
    """A numbered list of words, ten of them far more often than ``units`` others."""
    often, seldom = (30, 3) if tokens >= _SHORT else (6, 1)
    words = _vocabulary(sources, rng, COMMON + units)
    listed = [*chain.from_iterable(repeat(word, often) for word in words[:COMMON])]
    listed += chain.from_iterable(repeat(word, seldom) for word in words[COMMON:])
    rng.shuffle(listed)
    text = " ".join(f"{number}. {word}" for number, word in enumerate(listed, 1))
    return Sample(text, f"Which {COMMON} words are the most common ones of the list?", tuple(words[:COMMON]))


def frequent_words(_sources: Sources, rng: Random, units: int, tokens: int) -> Sample:
    """``units`` words of a code that follow a Zipf law with exponent 2; the most frequent one is dots."""
    words = _code(rng, max(FREQUENT + 1, tokens // _TOKENS_PER_WORD))
    counts = [int(units / (_ZETA_2 * rank**2)) for rank in range(1, len(words) + 1)]
    coded = list(chain.from_iterable(repeat(word, count) for word, count in zip(words, counts, strict=True)))
    rng.shuffle(coded)
    question = f"Which {FREQUENT} words are the most frequent ones of the coded text? Leave the dots out of account."
    return Sample(" ".join(coded), question, tuple(words[1 : 1 + FREQUENT]))


def _vocabulary(sources: Sources, rng: Random, size: int) -> Sequence[str]:
    """So many different words in a drawn order: real ones, then pairs of them when they are used up."""
    words = rng.sample(sources.words, len(sources.words))
    if size > len(words) ** 2:
        raise InputError("There are not enough words for so long a list.", "Ask for fewer tokens.")
    pairs = (f"{first}{second}" for first in words for second in reversed(words))
    missing = size - len(words)
    return [*words, *(pair for pair, _ in zip(pairs, range(missing), strict=False))] if missing > 0 else words[:size]


def _code(rng: Random, size: int) -> list[str]:
    drawn: dict[str, None] = {}
    while len(drawn) < size - 1:
        drawn["".join(rng.choices(string.ascii_lowercase, k=_LETTERS))] = None
    return [DOTS, *drawn]
