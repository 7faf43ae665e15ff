"""Makes planted facts of every kind, as many as wanted, on names that nobody has."""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random
from typing import Any

from rereader.evals.lookalikes import InventedWords

Made = tuple[list[str], str, list[str]]
"""Needles in their order, the question, and its answers."""
_TRADES = ("ferryman", "botanist", "clockmaker", "surveyor", "bell-ringer", "organist", "ropemaker", "apothecary")
LATENT = (
    ("{} keeps forty hives behind the house.", "Who is a beekeeper?"),
    ("{} has not eaten meat since childhood.", "Who is a vegetarian?"),
    ("{} reads with the fingertips, never with the eyes.", "Who is blind?"),
    ("{} pulled eleven teeth on market day.", "Who works as a dentist?"),
    ("{} spends the nights counting stars through a brass tube.", "Who is an astronomer?"),
    ("{} shoes every horse of the parish.", "Who is a blacksmith?"),
    ("{} has buried two husbands and lives alone.", "Who is a widow?"),
    ("{} sees the Eiffel Tower from the kitchen window.", "Who lives in Paris?"),
    ("{} fills the sacks that the wind's great sails have ground.", "Who is a miller?"),
    ("{} was born on the same day as a sister, an hour later.", "Who is a twin?"),
    ("{} may not touch a drop since the oath.", "Who is an abstainer from alcohol?"),
    ("{} owes every shopkeeper and owns nothing.", "Who is bankrupt?"),
)
"""Sentences and questions without a content word in common (the idea of NoLiMa, arXiv 2502.05167)."""


class Planter:
    """Makes needles; no name, place or number comes twice, and none is a part of another, which would give it away.

    Args:
        rng: Where everything is drawn from.
        taken: Words and numbers that are not used.
    """

    def __init__(self, rng: Random, taken: Collection[str] = ()) -> None:
        self._rng = rng
        self._words = InventedWords(rng, taken)
        self._drawn: set[str] = set()
        self._numbers = {word for word in taken if word.isdecimal()}
        self._latent = rng.sample(LATENT, len(LATENT))

    def make(self, kind: str, name: str) -> dict[str, Any]:
        """An item in the form of the file of planted facts."""
        needles, question, answers = _MAKERS[kind](self)
        return {"id": name, "kind": kind, "needles": needles, "question": question, "answers": answers}

    def _single(self) -> Made:
        place, number = self._word(), self._number(1_000, 10_000)
        told = f"The strongbox of the {place} harbour office opens with the number {number}."
        return [told], f"With which number does the strongbox of the {place} harbour office open?", [number]

    def _two_hop(self) -> Made:
        first, second, town, trade = self._name(), self._name(), self._word(), self._rng.choice(_TRADES)
        told = [f"{first} is the only {trade} in the town of {town}.", f"Every spring {first} lodges with {second}."]
        return told, f"With whom does the {trade} of {town} lodge every spring?", [second]

    def _three_hop(self) -> Made:
        buyer, spouse, mill, village = self._name(), self._name(), self._word(), self._word()
        told = [
            f"The mill at {mill} was sold to {buyer}.",
            f"{buyer} is married to {spouse}.",
            f"{spouse} grew up in the village of {village}.",
        ]
        return told, f"In which village did the spouse of the buyer of the mill at {mill} grow up?", [village]

    def _update_last(self) -> Made:
        told, places, thing = self._moves(("March", "June", "October"), "seal")
        return told, f"Where is the {thing} after the last move?", [places[-1]]

    def _update_first(self) -> Made:
        told, places, thing = self._moves(("March", "June"), "charter")
        return told, f"Where was the {thing} before it was moved?", [places[0]]

    def _list_all(self) -> Made:
        town, names = self._word(), [self._name() for _ in range(self._rng.randint(3, 5))]
        told = [f"{name} signed the petition of {town} that week." for name in names]
        return told, f"Who signed the petition of {town}? Name all of them.", names

    def _count(self) -> Made:
        place, many = self._word(), self._rng.randint(4, 9)
        told = [f"A lamp of the {place} lighthouse was repaired by {self._name()}." for _ in range(many)]
        return told, f"How many people repaired a lamp of the {place} lighthouse?", [str(many)]

    def _compare(self) -> Made:
        trees = {self._name(): int(self._number(100, 1_000)) for _ in range(2)}
        told = [f"The orchard of {name} has {number} trees." for name, number in trees.items()]
        first, second = trees
        question = f"Whose orchard has more trees, that of {first} or that of {second}?"
        return told, question, [max(trees, key=lambda name: trees[name])]

    def _absent(self) -> Made:
        buyer, town = self._name(), self._word()
        told = f"{buyer} paid {self._number(1_000, 10_000)} crowns for the barge of {town}."
        return [told], f"How many crowns did {buyer} pay for the chapel of {town}?", ["not stated"]

    def _latent_fact(self) -> Made:
        told, question = self._latent.pop()
        name = self._name()
        return [told.format(name)], question, [name]

    def _moves(self, months: tuple[str, ...], thing: str) -> tuple[list[str], list[str], str]:
        """One thing at a place of its own every month."""
        keeper, named = self._name(), f"{self._word()} {thing}"
        places = [f"in the cellar of {self._word()}" for _ in months]
        told = [f"In {months[0]}, {keeper} kept the {named} {places[0]}."]
        for month, place in zip(months[1:], places[1:], strict=True):
            told.append(f"In {month}, {keeper} moved the {named}; it now lies {place}.")
        return told, places, named

    def _name(self) -> str:
        return f"{self._word()} {self._word()}"

    def _word(self) -> str:
        while True:
            word = self._words.word()
            plain = word.lower()
            if not any(plain in other or other in plain for other in self._drawn):
                self._drawn.add(plain)
                return word

    def _number(self, low: int, high: int) -> str:
        while True:
            number = str(self._rng.randrange(low, high))
            if number not in self._numbers:
                self._numbers.add(number)
                return number


_MAKERS: dict[str, Callable[[Planter], Made]] = {
    "single": Planter._single,
    "two_hop": Planter._two_hop,
    "three_hop": Planter._three_hop,
    "update_last": Planter._update_last,
    "update_first": Planter._update_first,
    "list_all": Planter._list_all,
    "count": Planter._count,
    "compare": Planter._compare,
    "absent": Planter._absent,
    "latent": Planter._latent_fact,
}
KINDS = tuple(_MAKERS)
