"""The same True/False question at five lengths, in the manner of FLenQA (arXiv 2402.14848).

The rows are our own (key sentences among sentences of essays), so scores compare with one another only. All lengths of
a question follow one another, so that every prefix is paired; each length is a text of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rereader.evals.data import hash_files, parse_options
from rereader.evals.items import Item, Split, benchmark
from rereader.evals.marked import dealt
from rereader.evals.origins import benchmark_file, read_rows
from rereader.schema.errors import InputError, StoreError

ASKED = "Answer with True or False."


class FlenqaOptions(BaseModel):
    """Options of the suite: lengths and placements of the key sentences (all when empty), and where the file is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lengths: tuple[int, ...] = ()
    placements: tuple[str, ...] = ()
    hub: str = ""
    file: str = ""
    answer_budget: int = Field(default=50, ge=1)


@benchmark("flenqa")
class Flenqa:
    """The benchmark ``flenqa``; a text's key is its row's id."""

    name = "flenqa"

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self._data = data
        self._options = parse_options(FlenqaOptions, options)

    def text(self, key: str) -> str:
        """The context of a row."""
        if key not in self._by_id:
            raise InputError(f"flenqa has no text {key!r}.", "Keys are those of the items.")
        return str(self._by_id[key]["context"])

    def items(self, split: Split, seed: int) -> Iterator[Item]:
        """Questions in an order drawn for the seed, tasks in turn, each at all lengths; a question has one split."""
        bases: dict[str, list[dict[str, Any]]] = {}
        for raw in self._by_id.values():
            if (dealt(raw["base"]) == "detect") == (split == "dev") and self._wanted(raw):
                bases.setdefault(raw["base"], []).append(raw)
        order = Random(f"flenqa:{seed}").sample(sorted(bases), len(bases))
        place = {base: sum(_task(other) == _task(base) for other in order[:at]) for at, base in enumerate(order)}
        for base in sorted(order, key=lambda one: (place[one], _task(one))):
            for raw in sorted(bases[base], key=lambda one: (one["length"], one["placement"])):
                yield self._item(raw, seed)

    def data_hash(self) -> str:
        """sha256 over the rows."""
        return hash_files([self._file])

    def facts(self) -> dict[str, Any]:
        """The options."""
        return self._options.model_dump(mode="json")

    def _wanted(self, raw: Mapping[str, Any]) -> bool:
        lengths, placements = self._options.lengths, self._options.placements
        return (not lengths or raw["length"] in lengths) and (not placements or raw["placement"] in placements)

    def _item(self, raw: Mapping[str, Any], seed: int) -> Item:
        return Item(
            id=raw["id"],
            benchmark=self.name,
            kind=raw["task"],
            question=f"{raw['question']} {ASKED}",
            answers=("True" if raw["label"] else "False",),
            documents=(raw["id"],),
            gold=tuple((raw["id"], *span) for span in _places(raw)),
            answer_budget=self._options.answer_budget,
            seed=seed,
            rule="truth",
            base=raw["base"],
            length=raw["length"],
            meta={"placement": raw["placement"]},
        )

    @property
    def _file(self) -> Path:
        default = "flenqa_style/flenqa_style.jsonl.gz"
        options = self._options
        return benchmark_file(self._data, default, file=options.file, hub=options.hub, original="this project")

    @cached_property
    def _by_id(self) -> dict[str, dict[str, Any]]:
        return {raw["id"]: raw for raw in read_rows(self._file)}


def _task(base: str) -> str:
    return base.rpartition("-")[0]


def _places(raw: Mapping[str, Any]) -> Sequence[tuple[int, int]]:
    """Where the key sentences stand.

    Raises:
        StoreError: If one does not stand in its context.
    """
    context, sentences = raw["context"], raw["key_sentences"]
    starts = [context.find(sentence) for sentence in sentences]
    if min(starts) < 0:
        raise StoreError(f"A key sentence of {raw['id']} is not in its text.", "Check the data's checksums.")
    return sorted((start, start + len(sentence)) for start, sentence in zip(starts, sentences, strict=True))
