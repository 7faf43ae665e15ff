"""BABILong (arXiv 2406.10149): the facts of a bAbI question among the sentences of books, at several lengths.

The facts keep their order and stand at drawn places between sentences of at least ten words that follow one another in
essays and books, from a place drawn for every text. The text has the asked tokens, at most 2% less (length 0: the facts
alone); a question whose facts do not fit the shortest text is asked at no length. The background is public-domain books
in place of PG-19, and the question says what form its answer has, in place of instructions with examples. The names and
places of bAbI are common words: a book may hold them, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rereader.evals.counters import TIKTOKEN, named_counter
from rereader.evals.data import HINT, hash_files, parse_options, read_text
from rereader.evals.drafts import join_lines
from rereader.evals.fitting import TOLERANCE, fit
from rereader.evals.haystack import sentences
from rereader.evals.items import GoldSpan, Item, Split, benchmark
from rereader.evals.keys import no_text, parse_key
from rereader.evals.marked import dealt
from rereader.evals.origins import benchmark_file, read_rows
from rereader.evals.rules import names
from rereader.models.tokens import TokenCounter
from rereader.schema.errors import InputError

GENERATOR = "babilong/2"
"""Goes up whenever the same seed would give other bytes."""
HEADLINE = ("qa1", "qa2", "qa3", "qa4", "qa5")
FORMS = {"qa8": "List all of it, separated by commas.", "qa19": "Answer with the directions in order, such as: n, w."}
FORM = "Answer with one word."
_WAYS = "qa19"
_LEAST = 10
"""Words of a background sentence."""
_FORM = "<split>/<seed>/<tokens>/<id>"
_KEPT = 16
Raw = Mapping[str, Any]


class BabilongOptions(BaseModel):
    """Options of the suite.

    Args:
        tokens: Lengths of the text; 0 is the facts alone.
        tasks: bAbI tasks, ``qa1`` to ``qa20``.
        samples: Questions of each task.
        tokenizer: What counts: ``reader`` (the tested model's), ``tiktoken``, ``estimate``, or a model's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[int, ...] = Field(default=(0, 1000, 4000), min_length=1)
    tasks: tuple[str, ...] = Field(default=HEADLINE, min_length=1)
    samples: int = Field(default=10, ge=1)
    tokenizer: str = TIKTOKEN
    hub: str = ""
    file: str = ""
    answer_budget: int = Field(default=50, ge=1)


@benchmark("babilong")
class Babilong:
    """The benchmark ``babilong``; texts are ``<split>/<seed>/<tokens>/<id>``."""

    name = "babilong"

    def __init__(self, data: Path, options: Mapping[str, Any], counter: TokenCounter | None = None) -> None:
        self._data = data
        self._options = parse_options(BabilongOptions, options)
        self._counter = counter or named_counter(self._options.tokenizer)
        self._made = lru_cache(_KEPT)(self._make)

    def text(self, key: str) -> str:
        """Facts and background; the same key gives the same bytes."""
        return self._made(key)[0]

    def items(self, split: Split, seed: int) -> Iterator[Item]:
        """Questions in an order drawn for the seed, tasks in turn, each at every length before the next."""
        drawn = {task: self._drawn(task, split, seed) for task in self._options.tasks}
        for number in range(self._options.samples):
            for raws in drawn.values():
                for tokens in self._options.tokens if number < len(raws) else ():
                    yield self._item(raws[number], f"{split}/{seed}/{tokens}/{raws[number]['id']}", tokens, seed)

    def data_hash(self) -> str:
        """sha256 over the questions and the books."""
        return hash_files([self._file, *self._books])

    def facts(self) -> dict[str, Any]:
        """Options, generator, and what counts tokens."""
        options = self._options.model_dump(mode="json", exclude={"tokenizer"})
        return {**options, "generator": GENERATOR, "tokenizer": self._counter.name}

    def _drawn(self, task: str, split: Split, seed: int) -> list[Raw]:
        mine = [raw for raw in self._tasks[task] if (dealt(raw["id"]) == "detect") == (split == "dev")]
        kept = [raw for raw in mine if self._fits(raw)]
        return Random(f"babilong:{task}:{seed}").sample(kept, len(kept))

    def _fits(self, raw: Raw) -> bool:
        """Whether the facts leave some room in the shortest text; the longest stories of ``qa3`` take 1,300 tokens."""
        shortest = min((tokens for tokens in self._options.tokens if tokens), default=None)
        text, _ = join_lines(raw["facts"])
        return shortest is None or self._counter([text])[0] < shortest * (1 - TOLERANCE)

    def _item(self, raw: Raw, key: str, tokens: int, seed: int) -> Item:
        task = raw["task"]
        return Item(
            id=f"{raw['id']}@{tokens}",
            benchmark=self.name,
            kind=task,
            question=f"{raw['question']} {FORMS.get(task, FORM)}",
            answers=(raw["answer"],),
            documents=(key,),
            gold=self._made(key)[1],
            answer_budget=self._options.answer_budget,
            seed=seed,
            rule="path" if task == _WAYS else "labels",
            base=raw["id"],
            length=tokens,
            # The form that is asked for is none of bAbI's words: "one" is a label of qa7, and of no weight in FORM.
            meta={"labels": [label for label in self._labels[task] if not names(raw["question"], label)]},
        )

    def _make(self, key: str) -> tuple[str, tuple[GoldSpan, ...]]:
        _, parts = parse_key(key, _FORM)
        raw, tokens = self._by_id.get(parts["id"]), int(parts["tokens"])
        if raw is None:
            raise no_text(key, _FORM)

        def made(words: int) -> tuple[str, tuple[GoldSpan, ...]]:
            return self._mixed(key, raw, words)

        return fit(made, lambda found: self._counter([found[0]])[0], tokens) if tokens else made(0)

    def _mixed(self, key: str, raw: Raw, words: int) -> tuple[str, tuple[GoldSpan, ...]]:
        """The facts among so many words of background, and where the supporting ones stand."""
        rng = Random(f"{GENERATOR}:{key}")
        between = list(self._background(rng, words))
        places = sorted(rng.randrange(len(between) + 1) for _ in raw["facts"])
        lines = list(between)
        rows = [place + put for put, place in enumerate(places)]
        for row, fact in zip(rows, raw["facts"], strict=True):
            lines.insert(row, fact)
        text, spans = join_lines(lines)
        return text, tuple(sorted((key, *spans[rows[fact]]) for fact in set(raw["supporting"])))

    def _background(self, rng: Random, words: int) -> Iterator[str]:
        """Sentences that follow one another, books in a drawn order; the last one is cut to the words that are left."""
        left = words
        for path in rng.sample(self._books, len(self._books)):
            told = self._sentences(path)
            start = rng.randrange(len(told))
            for sentence in (*told[start:], *told[:start]):
                if left <= 0:
                    return
                kept = sentence.split()[:left]
                left -= len(kept)
                yield " ".join(kept)
        if not self._books:
            raise InputError("There are no books to hide facts in.", HINT)
        if left > 0:
            raise InputError("The books are too short for so long a text.", "Ask for fewer tokens.")

    @property
    def _file(self) -> Path:
        file, hub, original = self._options.file, self._options.hub, "facebook's bAbI tasks, and booydar/babilong"
        return benchmark_file(self._data, "babi/babi.jsonl.gz", file=file, hub=hub, original=original)

    @cached_property
    def _by_id(self) -> dict[str, Raw]:
        return {raw["id"]: raw for raw in read_rows(self._file)}

    @cached_property
    def _tasks(self) -> dict[str, list[Raw]]:
        found: dict[str, list[Raw]] = {}
        for raw in self._by_id.values():
            found.setdefault(raw["task"], []).append(raw)
        if unknown := [task for task in self._options.tasks if task not in found]:
            raise InputError(f"There is no task {unknown[0]!r} of bAbI.", f"There are: {', '.join(found)}.")
        return found

    @cached_property
    def _labels(self) -> dict[str, list[str]]:
        """Every label of each task: an answer, or a part of one that is a list."""
        answers = {task: (raw["answer"].split(",") for raw in raws) for task, raws in self._tasks.items()}
        return {task: sorted({label for many in several for label in many}) for task, several in answers.items()}

    @property
    def _books(self) -> Sequence[Path]:
        return [path for folder in ("essays", "books") for path in sorted((self._data / folder).glob("*.txt.gz"))]

    @cached_property
    def _sentences(self) -> Any:
        @cache
        def read(path: Path) -> tuple[str, ...]:
            told = sentences(" ".join(read_text(path).split()))
            return tuple(sentence for sentence in told if sentence.count(" ") + 1 >= _LEAST)

        return read
