"""Sentences that say the same of other invented names: distractors that no single word tells from the needle."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from random import Random

_SYLLABLES = """
    ba bel cor dal den dri el fal fen gar gil ha hes ir jor ka kel la len lo mar mel na nor ol or pel quil ra ran ris
    sel sor ta tam ul va ver vis wen wil yar za zel
"""
# The first word of a sentence is a name only where another capital follows it; elsewhere every capital is one.
_NAME = re.compile(r"\b[A-Z]\w+(?: [A-Z]\w+)+|(?<=[a-z,;] )[A-Z]\w+")
_NUMBER = re.compile(r"\d+")


def invented_words(needles: Sequence[str]) -> set[str]:
    """The words of every invented name."""
    return {word for needle in needles for name in _NAME.findall(needle) for word in name.split()}


class InventedWords:
    """Makes words that nothing is called by, each once.

    Args:
        rng: Where they are drawn from.
        taken: Words that are not made.
    """

    def __init__(self, rng: Random, taken: Collection[str] = ()) -> None:
        self._rng = rng
        self._taken = set(taken)
        self._syllables = _SYLLABLES.split()

    def word(self) -> str:
        """A capitalised word of two to four syllables."""
        while True:
            word = "".join(self._rng.choice(self._syllables) for _ in range(self._rng.choice((2, 3, 4)))).capitalize()
            if word not in self._taken:
                self._taken.add(word)
                return word


class Lookalikes:
    """Makes lookalikes of an item's needles.

    Args:
        taken: Words that no made-up name may be made of, and numbers that stay those of others.
        rng: Where names and numbers are drawn from.
    """

    def __init__(self, taken: Collection[str], rng: Random) -> None:
        self._words = InventedWords(rng, taken)
        self._taken = taken
        self._rng = rng

    def make(self, needles: Sequence[str]) -> tuple[str, ...]:
        """The needles with new words for their names, the same ones in all of them, and new numbers of equal length."""
        words = {word: self._words.word() for word in sorted(invented_words(needles))}
        return tuple(_NUMBER.sub(self._number, self._renamed(needle, words)) for needle in needles)

    @staticmethod
    def _renamed(needle: str, words: dict[str, str]) -> str:
        return _NAME.sub(lambda name: " ".join(words[word] for word in name.group().split()), needle)

    def _number(self, found: re.Match[str]) -> str:
        digits = len(found.group())
        while True:
            number = str(self._rng.randrange(10 ** (digits - 1), 10**digits))
            if number not in self._taken:
                return number
