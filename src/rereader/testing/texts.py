"""Made-up texts with facts planted in them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

WORDS = [
    "sea",
    "wind",
    "harbour",
    "stone",
    "morning",
    "letter",
    "quiet",
    "road",
    "window",
    "bread",
    "river",
    "winter",
    "garden",
    "paper",
    "evening",
    "lamp",
    "field",
]


def essay(seed: int, sentences: int) -> list[str]:
    """Sentences of common words, some of which end a paragraph."""
    rng = Random(seed)
    made = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(6, 14))).capitalize() for _ in range(sentences)]
    return [f"{sentence}.{chr(10) * 2 if rng.random() < 0.1 else ' '}" for sentence in made]


def plant(sentences: Sequence[str], facts: Sequence[str], seed: int = 0) -> str:
    """The text with facts put between its sentences, in order, at random places."""
    made = list(sentences)
    places = sorted(Random(seed).sample(range(len(made)), len(facts)))
    for place, fact in reversed(list(zip(places, facts, strict=True))):
        made.insert(place, f"{fact} ")
    return "".join(made)
