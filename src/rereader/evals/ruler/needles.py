"""The eight tasks that look needles up: a key and a value in a sentence, hidden in a haystack of one of three kinds."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from rereader.evals.drafts import Draft, join_lines
from rereader.evals.haystack import SENTENCE_BREAK
from rereader.evals.ruler.sample import Sample
from rereader.evals.ruler.sources import Sources

NOISE = (
    "Grass is green.",
    "The sky is blue.",
    "The sun shines bright.",
    "Here we set out.",
    "There and home again.",
)
"""One line of noise is these five; a unit of noise is one of them."""
_DEPTHS = 40
"""Places among which needles in essays are drawn, evenly spread over the text."""
Kind = Literal["word", "number", "uuid"]
_PER_LINE = {"number": 6, "uuid": 18, "word": 6}
"""Sentences of noise that take about as many tokens as one needle with keys of this kind."""


@dataclass(frozen=True)
class Lookup:
    """One of the tasks.

    Args:
        haystack: Noise lines, essays, or other needles.
        keys: Keys in the text, each with ``values`` values.
        values: Values of each key, every one in a sentence of its own.
        asked: Keys that are asked for.
        key: What keys are.
        value: What values are.
    """

    haystack: Literal["noise", "essays", "needles"]
    keys: int = 1
    values: int = 1
    asked: int = 1
    key: Kind = "word"
    value: Kind = "number"

    def __call__(self, sources: Sources, rng: Random, units: int, tokens: int) -> Sample:
        """Draw keys and values, then the haystack around them."""
        keys, values = _distinct(self.key, sources, rng), _distinct(self.value, sources, rng)
        told = [(next(keys), [next(values) for _ in range(self.values)]) for _ in range(self.keys)]
        needles = [needle(self.value, key, value) for key, many in told for value in many]
        others = (needle(self.value, next(keys), next(values)) for _ in iter(int, 1))
        text, places = _HAYSTACKS[self.haystack](needles, others, sources, rng, units, _PER_LINE[self.key])
        wanted = told[: self.asked]
        return Sample(
            text,
            _question(self.value, [key for key, _ in wanted], self.values * self.asked > 1),
            tuple(value for _, many in wanted for value in many),
            tuple(sorted(places[: self.asked * self.values])),
        )


def needle(kind: Kind, key: str, value: str) -> str:
    """The sentence that tells a key's value."""
    return f"One of the special magic {kind}s for {key} is: {value}."


def _question(kind: Kind, keys: Sequence[str], several: bool) -> str:
    listed = keys[0] if len(keys) == 1 else f"{', '.join(keys[:-1])} and {keys[-1]}"
    if several:
        return f"What are all the special magic {kind}s for {listed} that the text mentions?"
    return f"What is the special magic {kind} for {listed} that the text mentions?"


def _distinct(kind: Kind, sources: Sources, rng: Random) -> Iterator[str]:
    taken: set[str] = set()
    while True:
        drawn = _DRAW[kind](sources, rng)
        if drawn not in taken:
            taken.add(drawn)
            yield drawn


_DRAW: dict[Kind, Callable[[Sources, Random], str]] = {
    "word": lambda sources, rng: sources.key(rng),
    "number": lambda _, rng: str(rng.randrange(10**6, 10**7)),
    "uuid": lambda _, rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
}
Places = list[tuple[int, int]]


def noise_lines(units: int) -> list[str]:
    """So many sentences of noise, five to a line."""
    sentences = [NOISE[at % len(NOISE)] for at in range(units)]
    return [" ".join(sentences[at : at + len(NOISE)]) for at in range(0, units, len(NOISE))]


def hide(needles: Sequence[str], lines: list[str], rng: Random, *, ordered: bool = False) -> tuple[str, Places]:
    """Put every needle on a line of its own among the lines; the text, and the span of each needle."""
    places = [rng.randrange(len(lines) + 1) for _ in needles]
    if ordered:
        places.sort()
    queue = sorted(range(len(needles)), key=lambda number: (places[number], number))
    mixed, rows = list(lines), {}
    for put, number in enumerate(queue):
        rows[number] = places[number] + put
        mixed.insert(rows[number], needles[number])
    text, spans = join_lines(mixed)
    return text, [spans[rows[number]] for number in range(len(needles))]


def _in_noise(
    needles: Sequence[str], _others: Iterator[str], _sources: Sources, rng: Random, units: int, _per_line: int
) -> tuple[str, Places]:
    return hide(needles, noise_lines(units), rng)


def _in_needles(
    needles: Sequence[str], others: Iterator[str], _sources: Sources, rng: Random, units: int, per_line: int
) -> tuple[str, Places]:
    """Other needles; what is too little for one more is filled up with noise."""
    whole, rest = divmod(units, per_line)
    return hide(needles, [*(next(others) for _ in range(whole)), *noise_lines(rest)], rng)


def _in_essays(
    needles: Sequence[str], _others: Iterator[str], sources: Sources, rng: Random, units: int, _per_line: int
) -> tuple[str, Places]:
    """So many words of essays from a drawn place on, begun again when they are used up."""
    start = rng.randrange(len(sources.essays))
    depths = sorted(rng.sample(range(_DEPTHS), len(needles)))
    words = [sources.essays[(start + at) % len(sources.essays)] for at in range(units)]
    order = rng.sample(range(len(needles)), len(needles))
    return _at_depths([needles[number] for number in order], "".join(f"{word} " for word in words), depths, order)


def _at_depths(needles: Sequence[str], text: str, depths: Sequence[int], order: Sequence[int]) -> tuple[str, Places]:
    """Each needle at the sentence break nearest before its share of the text."""
    breaks = [0, *(found.end() for found in SENTENCE_BREAK.finditer(text)), len(text)]
    draft, places, read = Draft(), {}, 0
    for one, depth, number in zip(needles, depths, order, strict=True):
        aim = depth / (_DEPTHS - 1) * len(text)
        place = max(at for at in breaks if at <= aim)
        draft.add(text[read:place])
        read = place
        places[number] = draft.add(one)
        draft.add(" ")
    draft.add(text[read:])
    return draft.text(), [places[number] for number in range(len(needles))]


_HAYSTACKS = {"noise": _in_noise, "essays": _in_essays, "needles": _in_needles}
