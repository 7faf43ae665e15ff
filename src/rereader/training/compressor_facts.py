"""Small questions with one right word: facts in filler, drawn anew for every step, for training by reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Julia", "Karl", "Laura", "Martin")
VALUES = ("red", "blue", "green", "black", "white", "yellow", "brown", "silver", "gold", "purple", "orange", "pink")
FILLER = (
    "The river was calm in the morning.",
    "A cart went slowly along the road.",
    "Nobody spoke for a long while.",
    "The bells of the old tower rang twice.",
    "There was bread on the table and a lamp by the door.",
    "It had rained in the night, and the grass was wet.",
    "The baker opened his shop at six.",
    "Children were playing behind the mill.",
    "In the evening the wind came up from the sea.",
    "The letter lay where it had been left.",
    "Two boats were tied to the bridge.",
    "He counted the steps to the garden.",
)


@dataclass(frozen=True)
class FactTask:
    """What questions are made of.

    Args:
        facts: Facts in a text; one of them is asked for.
        filler: Sentences around them.
        hops: Facts that lead to an answer: with 2, the text says who has the same box as someone else.
        names: Whom facts are about.
        values: What they may say.
    """

    facts: int = 3
    filler: int = 6
    hops: int = 1
    names: Sequence[str] = NAMES
    values: Sequence[str] = VALUES

    def draw(self, rng: Random) -> FactQuestion:
        """A text and a question on it."""
        people = rng.sample(list(self.names), self.facts + self.hops - 1)
        boxes = [rng.choice(list(self.values)) for _ in range(self.facts)]
        lines = [f"The box of {who} is {what}." for who, what in zip(people, boxes, strict=False)]
        asked = 0
        for extra in range(self.facts, len(people)):
            lines.append(f"{people[extra]} has the same box as {people[asked]}.")
            asked = extra
        lines += [rng.choice(FILLER) for _ in range(self.filler)]
        rng.shuffle(lines)
        who = people[asked]
        return FactQuestion(" ".join(lines), f"Which colour is the box of {who}?", f"The box of {who} is", boxes[0])


@dataclass(frozen=True)
class FactQuestion:
    """A question on a text.

    Args:
        text: The text.
        question: The question.
        lead: How the reply begins.
        answer: The word that comes next.
    """

    text: str
    question: str
    lead: str
    answer: str

    def reward(self, reply: str) -> float:
        """1 if the reply's first word is the answer, otherwise 0."""
        words = reply.split()
        return float(bool(words) and words[0].strip(".,;:!?\"'").lower() == self.answer.lower())
