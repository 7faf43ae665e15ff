"""Multi-hop questions in a crowd of documents, in the manner of RULER's HotpotQA task (MemAgent, arXiv 2507.02259).

A text holds the paragraphs of one question, or of several, among those of others, in an order drawn for every text and
seed, so that gold paragraphs stand anywhere (in the published data they stand at the same places in all items). Gold
spans are the sentences that are noted as supporting facts. With several questions to a text, what a graph makes of
the text before it is asked is paid for once, as a user would pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rereader.evals.data import hash_files, parse_options, read_lines
from rereader.evals.items import GoldSpan, Item, Split, benchmark
from rereader.evals.marked import dealt
from rereader.schema.errors import InputError

GENERATOR = "multihop/2"
"""Goes up whenever the same seed would give other bytes."""
_KEPT = 4
"""Texts that are kept; others are made again, which takes milliseconds where the model takes minutes."""


class MultihopOptions(BaseModel):
    """Options of the suite: whose questions, documents and questions of a text, words of an answer that count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["hotpotqa", "2wikimultihopqa"] = "hotpotqa"
    documents: int = Field(default=50, ge=1)
    questions: int = Field(default=1, ge=1)
    answer_budget: int = Field(default=50, ge=1)


@benchmark("multihop")
class Multihop:
    """The benchmark ``multihop``; texts are ``<split>/<seed>/<number>``; heads were found on dev."""

    name = "multihop"

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self._options = parse_options(MultihopOptions, options)
        self._file = data / "multihop" / f"{self._options.source}.jsonl.gz"
        self._made = lru_cache(_KEPT)(self._make)

    def text(self, key: str) -> str:
        """A text of documents; the same key gives the same bytes."""
        return self._made(key)[0]

    def items(self, split: Split, seed: int) -> list[Item]:
        """The questions of a split, in an order drawn for the seed; those of one text follow one another."""
        return [
            self._item(raw, f"{split}/{seed}/{number}", seed)
            for number, group in enumerate(self._groups(split, seed))
            for raw in group
        ]

    def data_hash(self) -> str:
        """sha256 over the questions' file."""
        return hash_files([self._file])

    def facts(self) -> dict[str, Any]:
        """The options and the way texts are made."""
        return {**self._options.model_dump(), "generator": GENERATOR}

    def _groups(self, split: str, seed: int) -> list[list[dict[str, Any]]]:
        """The questions of each text."""
        part, size = "detect" if split == "dev" else "test", self._options.questions
        raws = [raw for raw in self._raws.values() if dealt(raw["id"]) == part and raw["supporting_facts"]]
        drawn = Random(f"multihop:{seed}").sample(raws, len(raws))
        return [drawn[first : first + size] for first in range(0, len(drawn), size)]

    def _item(self, raw: Mapping[str, Any], key: str, seed: int) -> Item:
        return Item(
            id=raw["id"],
            benchmark=self.name,
            kind=raw["type"],
            question=raw["question"],
            answers=(raw["answer"], *raw["answer_aliases"]),
            documents=(key,),
            gold=tuple(self._made(key)[1][raw["id"]]),
            answer_budget=self._options.answer_budget,
            seed=seed,
        )

    def _make(self, key: str) -> tuple[str, dict[str, list[GoldSpan]]]:
        """A text, and where each of its questions has its supporting facts."""
        raws, rng = self._asked(key), Random(f"{GENERATOR}:{self._options.documents}:{key}")
        chosen = self._chosen(raws, rng)
        paragraphs = list(chosen.values())
        rng.shuffle(paragraphs)
        text, places = _join(paragraphs)
        facts = {raw["id"]: {tuple(fact) for fact in raw["supporting_facts"]} & places.keys() for raw in raws}
        return text, {name: sorted((key, *places[fact]) for fact in found) for name, found in facts.items()}

    def _asked(self, key: str) -> list[dict[str, Any]]:
        split, _, rest = key.partition("/")
        seed, _, number = rest.partition("/")
        known = split in ("dev", "test") and seed.isdecimal() and number.isdecimal()
        groups = self._groups(split, int(seed)) if known else []
        if not known or int(number) >= len(groups):
            raise InputError(f"There is no text {key!r}.", "A text is named <split>/<seed>/<number>.")
        return groups[int(number)]

    def _chosen(self, raws: Sequence[Mapping[str, Any]], rng: Random) -> dict[str, Mapping[str, Any]]:
        """Paragraphs by title: those with supporting facts, then the questions' other ones in turn, then strangers."""
        gold = {title for raw in raws for title, _ in raw["supporting_facts"]}
        turns = zip_longest(*(raw["paragraphs"] for raw in raws))
        own = [paragraph for turn in turns for paragraph in turn if paragraph]
        chosen = {paragraph["title"]: paragraph for paragraph in own if paragraph["title"] in gold}
        for paragraph in own:
            if len(chosen) < max(self._options.documents, len(raws[0]["paragraphs"])):
                chosen.setdefault(paragraph["title"], paragraph)
        return chosen | self._others({paragraph["title"] for paragraph in own}, len(chosen), rng)

    def _others(self, own: set[str], count: int, rng: Random) -> dict[str, Mapping[str, Any]]:
        """Paragraphs of questions that are not put to the text, none with a title that those have."""
        wanted = max(0, self._options.documents - count)
        pool = {title: paragraph for title, paragraph in self._pool.items() if title not in own}
        if wanted > len(pool):
            msg = f"There are {len(pool):,} other documents, not {wanted:,}."
            raise InputError(msg, "Ask for fewer documents in the suite's options.")
        return {title: pool[title] for title in rng.sample(sorted(pool), wanted)}

    @cached_property
    def _raws(self) -> dict[str, dict[str, Any]]:
        return {raw["id"]: raw for raw in read_lines(self._file)}

    @cached_property
    def _pool(self) -> dict[str, Mapping[str, Any]]:
        return {paragraph["title"]: paragraph for raw in self._raws.values() for paragraph in raw["paragraphs"]}


def _join(paragraphs: Sequence[Mapping[str, Any]]) -> tuple[str, dict[tuple[str, int], tuple[int, int]]]:
    """The text of numbered documents, and where each sentence stands, by title and number."""
    parts: list[str] = []
    places: dict[tuple[str, int], tuple[int, int]] = {}
    size = 0

    def add(part: str) -> None:
        nonlocal size
        parts.append(part)
        size += len(part)

    for number, paragraph in enumerate(paragraphs, 1):
        add(f"Document {number}: {paragraph['title']}\n")
        for index, sentence in enumerate(paragraph["sentences"]):
            if body := sentence.strip():
                places[paragraph["title"], index] = (size, size + len(body))
                add(f"{body} ")
        add("\n\n")
    return "".join(parts), places
