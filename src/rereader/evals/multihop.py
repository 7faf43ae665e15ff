"""Multi-hop questions in a crowd of documents, in the manner of RULER's HotpotQA task (MemAgent, arXiv 2507.02259).

A text holds the paragraphs of one question, or of several, among those of others, in an order drawn for every text and
seed, so that gold paragraphs stand anywhere (in the published data they stand at the same places in all items). Gold
spans are the sentences that are noted as supporting facts; another paragraph may hold the answer, too, as in the
published data (``rulerhqa`` leaves such strangers out). With several questions to a text, what a graph makes of the
text before it is asked is paid for once, as a user would pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import Field

from rereader.evals.crowds import Question, crowd_text, drawn_questions, own_documents, own_titles
from rereader.evals.data import hash_files, parse_options, read_lines
from rereader.evals.items import GoldSpan, Item, Split, benchmark
from rereader.evals.keys import no_text, parse_key
from rereader.evals.paragraphs import Paragraph
from rereader.schema.errors import InputError
from rereader.schema.types import Frozen

GENERATOR = "multihop/2"
"""Goes up whenever the same seed would give other bytes."""
_FORM = "<split>/<seed>/<number>"
_KEPT = 4
"""Texts that are kept; others are made again, which takes milliseconds where the model takes minutes."""


class MultihopOptions(Frozen):
    """Options of the suite: whose questions, documents and questions of a text, words of an answer that count."""

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

    def _groups(self, split: Split, seed: int) -> list[list[Question]]:
        """The questions of each text."""
        size, drawn = self._options.questions, drawn_questions(self._raws, split, seed)
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
        own = own_documents(raws, self._options.documents)
        paragraphs = [*own.values(), *self._others(own_titles(raws), len(own), rng)]
        rng.shuffle(paragraphs)
        return crowd_text(key, raws, paragraphs)

    def _asked(self, key: str) -> list[Question]:
        split, parts = parse_key(key, _FORM)
        groups = self._groups(split, int(parts["seed"]))
        if int(parts["number"]) >= len(groups):
            raise no_text(key, _FORM)
        return groups[int(parts["number"])]

    def _others(self, own: set[str], count: int, rng: Random) -> list[Paragraph]:
        """Paragraphs of questions that are not put to the text, none with a title that those have."""
        wanted = max(0, self._options.documents - count)
        pool = {title: paragraph for title, paragraph in self._pool.items() if title not in own}
        if wanted > len(pool):
            msg = f"There are {len(pool):,} other documents, not {wanted:,}."
            raise InputError(msg, "Ask for fewer documents in the suite's options.")
        return [pool[title] for title in rng.sample(sorted(pool), wanted)]

    @cached_property
    def _raws(self) -> Sequence[Question]:
        return read_lines(self._file)

    @cached_property
    def _pool(self) -> dict[str, Paragraph]:
        return {paragraph["title"]: paragraph for raw in self._raws for paragraph in raw["paragraphs"]}
