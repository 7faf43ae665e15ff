"""RULER-HQA (MemAgent, arXiv 2507.02259): the same two-hop questions among 50 to 25,600 documents.

The questions, and their order, are those of ``multihop``; here each is asked at several lengths, item by item, so that
every prefix of the items is paired over lengths. Strangers come from other HotpotQA questions first, then from other
sets, then from books (:mod:`rereader.evals.paragraphs`); none comes twice. Where we depart from the published texts:
gold stands at places drawn for every text, there are fewer questions and other distractors, no question was
left out because a model knew it (put ``no-context`` beside), and with ``clean`` no stranger holds the answer.
With ``questions`` of 200 and more, one text holds the gold paragraphs of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rereader.evals.crowds import Question, crowd_text, drawn_questions, own_documents, own_titles
from rereader.evals.data import hash_files, parse_options, read_lines
from rereader.evals.items import GoldSpan, Item, Split, benchmark
from rereader.evals.keys import no_text, parse_key
from rereader.evals.paragraphs import Paragraph, Pool, pool_files, question_file
from rereader.schema.errors import InputError

GENERATOR = "rulerhqa/1"
"""Goes up whenever the same seed would give other bytes."""
_FORM = "<split>/<seed>/<documents>/<number>"
_KEPT = 4


class RulerHqaOptions(BaseModel):
    """Options of the suite.

    Args:
        documents: The lengths, each in documents (about 112 tokens one).
        questions: Questions that share a text, for each length.
        most: Most questions of a split.
        clean: Whether strangers that hold an answer are left out.
        answer_budget: Most words of an answer that count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: tuple[int, ...] = Field(default=(50,), min_length=1)
    questions: tuple[int, ...] = (1,)
    most: int | None = Field(default=None, ge=1)
    clean: bool = True
    answer_budget: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _paired(self) -> RulerHqaOptions:
        if len(self.questions) != len(self.documents) or min(*self.questions, *self.documents) < 1:
            msg = "documents and questions need as many numbers as each other, none below 1"
            raise ValueError(msg)
        if len(set(self.documents)) < len(self.documents):
            msg = "a length stands twice in documents"
            raise ValueError(msg)
        return self


@benchmark("rulerhqa")
class RulerHqa:
    """The benchmark ``rulerhqa``; texts are ``<split>/<seed>/<documents>/<number>``."""

    name = "rulerhqa"

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self._options = parse_options(RulerHqaOptions, options)
        self._data = data
        self._file = question_file(data, "hotpotqa")
        self._pool = Pool(data)
        self._made = lru_cache(_KEPT)(self._make)

    def text(self, key: str) -> str:
        """A text of documents; the same key gives the same bytes."""
        return self._made(key)[0]

    def items(self, split: Split, seed: int) -> Iterator[Item]:
        """Each question at every length before the next question; texts are made when they are come to."""
        sizes = list(zip(self._options.documents, self._options.questions, strict=True))
        for number, raw in enumerate(self._drawn(split, seed)):
            for documents, size in sizes:
                yield self._item(raw, f"{split}/{seed}/{documents}/{number // size}", documents, seed)

    def data_hash(self) -> str:
        """sha256 over the questions and everything that documents are taken from."""
        return hash_files(pool_files(self._data))

    def facts(self) -> dict[str, Any]:
        """The options and the way texts are made."""
        return {**self._options.model_dump(mode="json"), "generator": GENERATOR}

    def _item(self, raw: Question, key: str, documents: int, seed: int) -> Item:
        return Item(
            id=f"{raw['id']}@{documents}",
            benchmark=self.name,
            kind=f"{documents:,} documents",
            question=raw["question"],
            answers=(raw["answer"], *raw["answer_aliases"]),
            documents=(key,),
            gold=tuple(self._made(key)[1][raw["id"]]),
            answer_budget=self._options.answer_budget,
            seed=seed,
            rule="two_way",
            base=raw["id"],
            length=documents,
            meta={"type": raw["type"]},
        )

    def _make(self, key: str) -> tuple[str, dict[str, list[GoldSpan]]]:
        raws, documents = self._asked(key)
        rng = Random(f"{GENERATOR}:{key}")
        own = own_documents(raws, documents)
        paragraphs = [*own.values(), *self._strangers(raws, max(0, documents - len(own)), rng)]
        rng.shuffle(paragraphs)
        return crowd_text(key, raws, paragraphs)

    def _asked(self, key: str) -> tuple[Sequence[Question], int]:
        """The questions that are put to a text, and its documents."""
        split, parts = parse_key(key, _FORM)
        documents, number = int(parts["documents"]), int(parts["number"])
        if documents not in self._options.documents:
            raise no_text(key, _FORM)
        size = self._options.questions[self._options.documents.index(documents)]
        raws = self._drawn(split, int(parts["seed"]))[number * size :][:size]
        if not raws:
            raise no_text(key, _FORM)
        return raws, documents

    def _strangers(self, raws: Sequence[Question], wanted: int, rng: Random) -> list[Paragraph]:
        answers = [answer for raw in raws for answer in (raw["answer"], *raw["answer_aliases"])]
        found = self._pool.drawn(rng, own_titles(raws), answers if self._options.clean else ())
        chosen = list(islice(found, wanted))
        if len(chosen) < wanted:
            msg = f"There are {len(chosen):,} other documents, not {wanted:,}."
            raise InputError(msg, "Ask for fewer documents in the suite's options.")
        return chosen

    def _drawn(self, split: Split, seed: int) -> Sequence[Question]:
        return drawn_questions(self._raws, split, seed)[: self._options.most]

    @cached_property
    def _raws(self) -> Sequence[Question]:
        return read_lines(self._file)
