"""Variable tracking: five variables of which each but the first is set to the one before; all five are asked for."""

from __future__ import annotations

import string
from itertools import pairwise
from random import Random

from rereader.evals.ruler.needles import hide, noise_lines
from rereader.evals.ruler.sample import Sample
from rereader.evals.ruler.sources import Sources

HOPS = 4
_NAME = 5


def variable_tracking(_sources: Sources, rng: Random, units: int, _tokens: int) -> Sample:
    """A chain in noise; its lines keep their order and stand anywhere."""
    names = _names(rng)
    value = str(rng.randrange(10_000, 100_000))
    lines = [f"VAR {names[0]} = {value}"]
    lines += [f"VAR {name} = VAR {before}" for before, name in pairwise(names)]
    text, places = hide(lines, noise_lines(units), rng, ordered=True)
    question = f"Which {HOPS + 1} variables have the value {value}, given to them or through another one?"
    return Sample(text, question, tuple(names), tuple(places))


def _names(rng: Random) -> list[str]:
    drawn: dict[str, None] = {}
    while len(drawn) <= HOPS:
        drawn["".join(rng.choices(string.ascii_uppercase, k=_NAME))] = None
    return list(drawn)
