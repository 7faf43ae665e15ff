"""RULER (arXiv 2404.06654): thirteen tasks at any length, counted in the tested model's own tokens.

Text, question and answer budget together take what ``tokens`` says, at most 2% less. Where we depart from the
published generators: our own wording of noise and questions; Emerson, Chesterton and Du Bois as essays, from a place
drawn for each sample; no worked example before ``vt`` and ``cwe``, and no beginning of the reply, since our graphs read
a text and a question; each sample is fitted by itself; documents are shuffled anew for each sample; paragraphs that
hold an accepted answer are not drawn as distractors (a question's own ones stay); SQuAD and HotpotQA paragraphs are
followed by other Wikipedia paragraphs and book passages. An answer budget is RULER's in tokens, read here as words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rereader.evals.counters import TIKTOKEN, named_counter
from rereader.evals.data import hash_files, parse_options
from rereader.evals.fitting import fit
from rereader.evals.items import SPLITS, Item, Split, benchmark
from rereader.evals.keys import no_text, parse_key
from rereader.evals.memory_items import squad_file
from rereader.evals.paragraphs import Pool, pool_files
from rereader.evals.ruler.sample import Sample
from rereader.evals.ruler.sources import Sources, essay_files
from rereader.evals.ruler.tasks import TASKS
from rereader.models.tokens import TokenCounter

GENERATOR = "ruler/2"
"""Goes up whenever the same seed would give other bytes."""
_FORM = "<split>/<seed>/<task>/<number>"
_KEPT = 16


class RulerOptions(BaseModel):
    """Options of the suite.

    Args:
        tokens: Length of text, question and answer together.
        tasks: Names of tasks; all thirteen when empty.
        samples: Samples of each task under one seed.
        tokenizer: What counts: ``reader`` (the tested model's), ``tiktoken``, ``estimate``, or a model's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int = Field(default=4096, ge=256)
    tasks: tuple[str, ...] = ()
    samples: int = Field(default=10, ge=1)
    tokenizer: str = TIKTOKEN

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in tasks if name not in TASKS]:
            msg = f"there is no task {unknown[0]!r}; there are {', '.join(TASKS)}"
            raise ValueError(msg)
        return tasks or tuple(TASKS)


@benchmark("ruler")
class Ruler:
    """The benchmark ``ruler``; texts are ``<split>/<seed>/<task>/<number>``."""

    name = "ruler"

    def __init__(self, data: Path, options: Mapping[str, Any], counter: TokenCounter | None = None) -> None:
        self._options = parse_options(RulerOptions, options)
        self._tasks = self._options.tasks or tuple(TASKS)
        self._counter = counter or named_counter(self._options.tokenizer)
        self._data = data
        pool = Pool(data)
        self._sources = {split: Sources(data, split, pool) for split in SPLITS}
        self._made = lru_cache(_KEPT)(self._make)

    def text(self, key: str) -> str:
        """The text of a sample; the same key gives the same bytes."""
        return self._made(key).text

    def items(self, split: Split, seed: int) -> Iterator[Item]:
        """The samples in turn, all tasks of one number before the next; made when they are asked for."""
        for number in range(self._options.samples):
            for task in self._tasks:
                yield self._item(f"{split}/{seed}/{task}/{number}", task, seed)

    def data_hash(self) -> str:
        """sha256 over every file that the chosen tasks are made from."""
        chosen = [TASKS[name] for name in self._tasks]
        essays = essay_files(self._data) if any(task.essays for task in chosen) else []
        read = any(task.paragraphs for task in chosen)
        return hash_files([*essays, *([squad_file(self._data), *pool_files(self._data)] if read else ())])

    def facts(self) -> dict[str, Any]:
        """Length, tasks, and what counts and makes them."""
        options = self._options.model_dump(mode="json", exclude={"tokenizer", "tasks"})
        words = metadata.version("wonderwords")
        return {
            **options,
            "tasks": list(self._tasks),
            "generator": GENERATOR,
            "words": words,
            "tokenizer": self._counter.name,
        }

    def size(self, sample: Sample, task: str) -> int:
        """Tokens of text, question and answer budget."""
        return sum(self._counter([sample.text, sample.question])) + TASKS[task].answer_tokens

    def _item(self, key: str, task: str, seed: int) -> Item:
        sample = self._made(key)
        return Item(
            id=key.partition("/")[2].partition("/")[2],
            benchmark=self.name,
            kind=task,
            question=sample.question,
            answers=sample.answers,
            documents=(key,),
            gold=tuple((key, *span) for span in sample.gold),
            answer_budget=TASKS[task].answer_tokens,
            expects=sample.expects,
            seed=seed,
            rule=sample.rule,
            length=self._options.tokens,
        )

    def _make(self, key: str) -> Sample:
        split, parts = parse_key(key, _FORM)
        task = parts["task"]
        if task not in TASKS:
            raise no_text(key, _FORM)
        tokens, make = self._options.tokens, TASKS[task].make

        def made(units: int) -> Sample:
            return make(self._sources[split], Random(f"{GENERATOR}:{key}"), units, tokens)

        return fit(made, lambda sample: self.size(sample, task), tokens)
