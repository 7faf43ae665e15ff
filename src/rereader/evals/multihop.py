"""Multi-hop questions in a crowd of documents, in the manner of RULER's HotpotQA task (MemAgent, arXiv 2507.02259).

Each item has a text of its own: its paragraphs among those of other items, in an order drawn for every item and seed,
so that gold paragraphs stand anywhere (in the published data they stand at the same places in all items). Gold spans
are the sentences that are noted as supporting facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rereader.evals.data import hash_files, parse_options, read_lines
from rereader.evals.items import GoldSpan, Item, Split, benchmark
from rereader.evals.marked import dealt
from rereader.schema.errors import InputError

GENERATOR = "multihop/1"
"""Goes up whenever the same seed would give other bytes."""


class MultihopOptions(BaseModel):
    """Options of the suite: whose questions, how many documents a text has, words of an answer that are scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["hotpotqa", "2wikimultihopqa"] = "hotpotqa"
    documents: int = Field(default=50, ge=1)
    answer_budget: int = Field(default=50, ge=1)


@benchmark("multihop")
class Multihop:
    """The benchmark ``multihop``; a text's key is ``<seed>/<item>``. Dev is the half that heads were found on."""

    name = "multihop"

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self._options = parse_options(MultihopOptions, options)
        self._file = data / "multihop" / f"{self._options.source}.jsonl.gz"
        self._texts: dict[str, tuple[str, list[GoldSpan]]] = {}

    def text(self, key: str) -> str:
        """The documents of an item; the same key gives the same bytes."""
        return self._made(key)[0]

    def items(self, split: Split, seed: int) -> list[Item]:
        """The questions of a split, in an order drawn for the seed."""
        part = "detect" if split == "dev" else "test"
        raws = [raw for raw in self._raws.values() if dealt(raw["id"]) == part and raw["supporting_facts"]]
        return [self._item(raw, seed) for raw in Random(f"multihop:{seed}").sample(raws, len(raws))]

    def data_hash(self) -> str:
        """sha256 over the questions' file."""
        return hash_files([self._file])

    def facts(self) -> dict[str, Any]:
        """The options and the way texts are made."""
        return {**self._options.model_dump(), "generator": GENERATOR}

    def _item(self, raw: Mapping[str, Any], seed: int) -> Item:
        key = f"{seed}/{raw['id']}"
        return Item(
            id=raw["id"],
            benchmark=self.name,
            kind=raw["type"],
            question=raw["question"],
            answers=(raw["answer"], *raw["answer_aliases"]),
            documents=(key,),
            gold=tuple(self._made(key)[1]),
            answer_budget=self._options.answer_budget,
            seed=seed,
        )

    def _made(self, key: str) -> tuple[str, list[GoldSpan]]:
        if key not in self._texts:
            _, _, identity = key.partition("/")
            if identity not in self._raws:
                raise InputError(f"There is no text {key!r}.", "A text is named <seed>/<item>.")
            raw, rng = self._raws[identity], Random(f"{GENERATOR}:{self._options.documents}:{key}")
            paragraphs = [*raw["paragraphs"], *self._others(raw, rng)]
            rng.shuffle(paragraphs)
            self._texts[key] = _join(key, paragraphs, {tuple(fact) for fact in raw["supporting_facts"]})
        return self._texts[key]

    def _others(self, raw: Mapping[str, Any], rng: Random) -> list[Mapping[str, Any]]:
        """Paragraphs of other items, none with a title that the item has."""
        own = {paragraph["title"] for paragraph in raw["paragraphs"]}
        wanted = max(0, self._options.documents - len(raw["paragraphs"]))
        pool = {title: paragraph for title, paragraph in self._pool.items() if title not in own}
        if wanted > len(pool):
            msg = f"There are {len(pool):,} other documents, not {wanted:,}."
            raise InputError(msg, "Ask for fewer documents in the suite's options.")
        return [pool[title] for title in rng.sample(sorted(pool), wanted)]

    @cached_property
    def _raws(self) -> dict[str, dict[str, Any]]:
        return {raw["id"]: raw for raw in read_lines(self._file)}

    @cached_property
    def _pool(self) -> dict[str, Mapping[str, Any]]:
        return {paragraph["title"]: paragraph for raw in self._raws.values() for paragraph in raw["paragraphs"]}


def _join(key: str, paragraphs: Sequence[Mapping[str, Any]], facts: set[tuple[Any, ...]]) -> tuple[str, list[GoldSpan]]:
    """The text of numbered documents, and where its supporting facts stand."""
    parts: list[str] = []
    gold: list[GoldSpan] = []
    size = 0

    def add(part: str) -> None:
        nonlocal size
        parts.append(part)
        size += len(part)

    for number, paragraph in enumerate(paragraphs, 1):
        add(f"Document {number}: {paragraph['title']}\n")
        for index, sentence in enumerate(paragraph["sentences"]):
            body = sentence.strip()
            if body and (paragraph["title"], index) in facts:
                gold.append((key, size, size + len(body)))
            add(f"{body} " if body else "")
        add("\n\n")
    return "".join(parts), gold
