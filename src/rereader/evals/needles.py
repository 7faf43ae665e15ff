"""Planted facts: invented sentences hidden in a haystack of essays.

A split's items are dealt into groups of at most ``group`` items, every kind spread evenly. The seeds 0, 1, ... make
one haystack for each group; after the last group the items are dealt anew. So the seeds ``0 .. groups - 1`` ask every
item of the split once. The items of a haystack are each other's distractors; ``lookalikes`` plants more of
them: the same sentences about other invented names and numbers. The kind ``latent`` follows NoLiMa
(arXiv 2502.05167): question and needle share no content word.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import Field

from rereader.evals.data import hash_files, parse_options, read_lines
from rereader.evals.haystack import Haystack, background, plant
from rereader.evals.items import Expects, Item, Split, benchmark
from rereader.evals.lookalikes import Lookalikes, invented_words
from rereader.models.tokens import TokenCounter, tiktoken_counter
from rereader.schema.errors import InputError
from rereader.schema.types import Frozen

GENERATOR = "needles/2"
"""Goes up whenever the same seed would give other bytes."""
DEV_SHARE = 4 / 14
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
EXPECTS: dict[str, Expects] = {"list_all": "all", "absent": "decline"}


class NeedleOptions(Frozen):
    """Options of the suite.

    Args:
        tokens: Tokens of a haystack, to a fiftieth.
        group: Most items in one haystack.
        gap: Sentences between two needles.
        answer_budget: Most words of an answer that count.
        lookalikes: Lookalikes planted for each item of the kinds named in ``lookalike_kinds``.
        lookalike_kinds: Kinds whose sentences name who or what they are about, so that a lookalike answers nothing.
    """

    tokens: int = Field(default=200_000, ge=1)
    group: int = Field(default=20, ge=1)
    gap: int = Field(default=5, ge=1)
    answer_budget: int = Field(default=50, ge=1)
    lookalikes: int = Field(default=0, ge=0)
    lookalike_kinds: tuple[Literal["single", "two_hop", "three_hop", "compare"], ...] = (
        "two_hop",
        "three_hop",
        "compare",
    )


@benchmark("needles")
class Needles:
    """The benchmark ``needles``; a text's key is ``<split>-<seed>``."""

    name = "needles"
    options_type: ClassVar[type[NeedleOptions]] = NeedleOptions
    generator: ClassVar[str] = GENERATOR

    def __init__(self, data: Path, options: Mapping[str, Any], counter: TokenCounter | None = None) -> None:
        self._data = data
        self._options = parse_options(self.options_type, options)
        self._counter = tiktoken_counter() if counter is None else counter
        self._haystacks: dict[str, Haystack] = {}

    def text(self, key: str) -> str:
        """The haystack ``<split>-<seed>``; the same key gives the same bytes."""
        return self._haystack(*parse_key(key)).text

    def items(self, split: Split, seed: int) -> list[Item]:
        """The items planted into the haystack of this split and seed, kinds mixed."""
        haystack = self._haystack(split, seed)
        key = f"{split}-{seed}"
        return [self._item(raw, key, seed, haystack) for raw in self._group(split, seed)]

    def data_hash(self) -> str:
        """sha256 over the needles and everything that a haystack may be made of."""
        return hash_files([self._needles_file, *(path for tier in self._sources for path in tier)])

    def facts(self) -> dict[str, Any]:
        """Options, the way haystacks are made, and the tokenizer that measures them."""
        return {**self._options.model_dump(), "generator": self.generator, "tokenizer": self._counter.name}

    def groups(self, split: Split) -> int:
        """Number of haystacks, and so of seeds, that ask every item of the split once."""
        return math.ceil(len(self._split(split)) / self._options.group)

    def _item(self, raw: Mapping[str, Any], key: str, seed: int, haystack: Haystack) -> Item:
        expects = EXPECTS.get(raw["kind"], "any")
        gold = () if expects == "decline" else tuple((key, *span) for span in haystack.planted[raw["id"]])
        return Item(
            id=raw["id"],
            benchmark=self.name,
            kind=raw["kind"],
            question=raw["question"],
            answers=accepted(raw["kind"], raw["answers"]),
            documents=(key,),
            gold=gold,
            answer_budget=self._options.answer_budget,
            expects=expects,
            seed=seed,
            meta={"needles": list(raw["needles"])},
        )

    def _haystack(self, split: Split, seed: int) -> Haystack:
        key = f"{split}-{seed}"
        if key not in self._haystacks:
            self._haystacks[key] = self._build(key, self._group(split, seed))
        return self._haystacks[key]

    def _build(self, key: str, group: Sequence[Mapping[str, Any]]) -> Haystack:
        needles = {raw["id"]: tuple(raw["needles"]) for raw in group}
        needles |= self._lookalikes(key, group)
        planted_tokens = sum(self._counter([needle for many in needles.values() for needle in many]))
        rng = Random(f"needles:{key}")
        text = background(self._sources, self._options.tokens - planted_tokens, self._counter, rng)
        return plant(text, needles, self._options.gap, rng)

    def _lookalikes(self, key: str, group: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
        if not self._options.lookalikes:
            return {}
        maker = Lookalikes(self._taken(group), Random(f"needles:{key}:lookalikes"))
        return {
            f"{raw['id']}~{number}": maker.make(raw["needles"])
            for raw in group
            if raw["kind"] in self._options.lookalike_kinds
            for number in range(self._options.lookalikes)
        }

    def _taken(self, _group: Sequence[Mapping[str, Any]]) -> set[str]:
        """Words that no lookalike is called by."""
        return invented_words([needle for raw in read_lines(self._needles_file) for needle in raw["needles"]])

    def _group(self, split: Split, seed: int) -> list[dict[str, Any]]:
        """The items of one haystack, kinds mixed."""
        dealt, index = divmod(seed, self.groups(split))
        rng = Random(f"needles:{split}:{dealt}")
        by_kind = _by_kind(self._split(split))
        ordered = [raw for kind in by_kind.values() for raw in rng.sample(kind, len(kind))]
        group = ordered[index :: self.groups(split)]
        return rng.sample(group, len(group))

    def _split(self, split: Split) -> list[dict[str, Any]]:
        return split_items(read_lines(self._needles_file), split)

    @property
    def _needles_file(self) -> Path:
        return self._data / "needles" / "planted_facts.jsonl"

    @property
    def _sources(self) -> list[list[Path]]:
        return [sorted((self._data / folder).glob("*.txt.gz")) for folder in ("essays", "books")]


def split_items(raws: Sequence[dict[str, Any]], split: Split) -> list[dict[str, Any]]:
    """Dev: the first 4 in 14 of each kind, in the file's order; test: the rest."""
    chosen = []
    for kind in _by_kind(raws).values():
        cut = round(len(kind) * DEV_SHARE)
        chosen += kind[:cut] if split == "dev" else kind[cut:]
    return chosen


def accepted(kind: str, answers: Sequence[str]) -> tuple[str, ...]:
    """The accepted answers; a small count may also be written as a word."""
    words = [NUMBER_WORDS[int(a)] for a in answers if a.isdigit() and int(a) < len(NUMBER_WORDS)]
    return (*answers, *words) if kind == "count" else tuple(answers)


def parse_key(key: str) -> tuple[Split, int]:
    """The split and the seed in ``<split>-<seed>``."""
    split, _, seed = key.partition("-")
    if split == "dev" and seed.isdigit():
        return "dev", int(seed)
    if split == "test" and seed.isdigit():
        return "test", int(seed)
    raise InputError(f"There is no haystack {key!r}.", "A haystack is named <split>-<seed>, such as dev-0.")


def _by_kind(raws: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for raw in raws:
        kinds[raw["kind"]].append(raw)
    return kinds
