"""Planted facts that are made for each haystack, so that there are as many as wanted: every seed plants others.

Kinds, haystacks and scoring are those of :mod:`rereader.evals.needles`. No answer stands anywhere but in its own
needles: names are invented once, and numbers that the background holds are not used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, ClassVar

from pydantic import Field, field_validator

from rereader.evals.data import hash_files, read_text
from rereader.evals.items import Split, benchmark
from rereader.evals.needle_makers import KINDS, LATENT, Planter
from rereader.evals.needles import NeedleOptions, Needles

GENERATOR = "needles-made/2"
"""Goes up whenever the same seed would give other bytes."""
_HELD = re.compile(r"[A-Z]\w+|\d+")


class MadeOptions(NeedleOptions):
    """Options of the suite: those of ``needles`` and what is made.

    Args:
        each: Items of each kind in one haystack.
        kinds: The kinds.
    """

    each: int = Field(default=2, ge=1, le=len(LATENT))
    kinds: tuple[str, ...] = Field(default=KINDS, min_length=1)

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            msg = f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}"
            raise ValueError(msg)
        return kinds


@benchmark("needles_made")
class MadeNeedles(Needles):
    """The benchmark ``needles_made``; a text's key is ``<split>-<seed>``."""

    name = "needles_made"
    generator = GENERATOR
    options_type: ClassVar[type[NeedleOptions]] = MadeOptions

    _options: MadeOptions

    def data_hash(self) -> str:
        """sha256 over everything that a haystack may be made of."""
        return hash_files([path for tier in self._sources for path in tier])

    def _group(self, split: Split, seed: int) -> list[dict[str, Any]]:
        """New items for every haystack."""
        rng = Random(f"{GENERATOR}:{split}:{seed}")
        planter = Planter(rng, self._held)
        kinds = [kind for kind in self._options.kinds for _ in range(self._options.each)]
        made = [planter.make(kind, f"{kind}-{seed}-{number}") for number, kind in enumerate(kinds)]
        return rng.sample(made, len(made))

    def _taken(self, group: Sequence[Mapping[str, Any]]) -> set[str]:
        return self._held | {word for raw in group for needle in raw["needles"] for word in _HELD.findall(needle)}

    @cached_property
    def _held(self) -> set[str]:
        """Capitalised words and numbers of everything that a haystack may be made of."""
        return {found for tier in self._sources for path in tier for found in _HELD.findall(read_text(path))}
