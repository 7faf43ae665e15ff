"""HotpotQA, 2WikiMultihopQA and MuSiQue in their short form: a question with the 10 or 20 paragraphs that come with it.

The paragraphs keep the order in which they were published. Gold are the supporting facts, sentences or (MuSiQue)
paragraphs; the official measures are exact match and F1 of the answer, evidence recall and precision stand for those of
the facts. Reads our own files and HotpotQA's published form (``hotpot_dev_distractor_v1.json``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from rereader.evals.crowds import lay_out
from rereader.evals.given import Given, GivenOptions, GivenTexts
from rereader.evals.items import GoldSpan, Item, benchmark
from rereader.evals.origins import benchmark_file, read_rows
from rereader.evals.paragraphs import Paragraph
from rereader.schema.errors import InputError

_ORIGINALS = {
    "hotpotqa": "hotpotqa/hotpot",
    "2wikimultihopqa": "Alab-NII/2wikimultihop",
    "musique": "StonyBrookNLP/musique",
}


class ShortOptions(GivenOptions):
    """Options of the suite; ``sets`` names some of the three, one if there is a ``file``."""

    sets: tuple[Literal["hotpotqa", "2wikimultihopqa", "musique"], ...] = ("hotpotqa", "2wikimultihopqa", "musique")


@benchmark("multihop_short")
class MultihopShort(GivenTexts):
    """The benchmark ``multihop_short``; a text's key is its question's id."""

    name = "multihop_short"
    options_type: ClassVar[type[GivenOptions]] = ShortOptions
    _options: ShortOptions

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        super().__init__(data, options)
        if self._options.file and len(self._options.sets) > 1:
            raise InputError("One file cannot be that of several sets.", "Name one under `sets`.")

    def files(self) -> Sequence[Path]:
        """The file of each set."""
        options = self._options
        return [
            benchmark_file(
                self._data,
                f"multihop/{name}.jsonl.gz",
                file=options.file,
                hub=options.hub,
                original=_ORIGINALS[name],
            )
            for name in options.sets
        ]

    def load(self) -> Iterator[Given]:
        """The questions of all chosen sets that say what supports them."""
        for name, path in zip(self._options.sets, self.files(), strict=True):
            for row in read_rows(path):
                if row["supporting_facts"]:
                    yield self._given(name, row)

    def _given(self, name: str, row: Mapping[str, Any]) -> Given:
        key, paragraphs = row.get("id") or row["_id"], _paragraphs(row)
        text, spans = lay_out(paragraphs)
        item = Item(
            id=key,
            benchmark=self.name,
            kind=name,
            question=row["question"],
            answers=(row["answer"], *row.get("answer_aliases", ())),
            documents=(key,),
            gold=_gold(key, row["supporting_facts"], paragraphs, spans),
            answer_budget=self._options.answer_budget,
            rule="em",
            meta={"type": row["type"]},
        )
        return Given(key, name, text, (item,))


def _paragraphs(row: Mapping[str, Any]) -> Sequence[Paragraph]:
    if "paragraphs" in row:
        return list(row["paragraphs"])
    return [{"title": title, "sentences": sentences} for title, sentences in row["context"]]


def _gold(
    key: str,
    facts: Sequence[Sequence[Any]],
    paragraphs: Sequence[Mapping[str, Any]],
    spans: Mapping[tuple[int, int], tuple[int, int]],
) -> tuple[GoldSpan, ...]:
    """Where the facts stand; of paragraphs with one title (MuSiQue) those count that are marked."""
    wanted = {(title, index) for title, index in facts}
    marked = [at for at, one in enumerate(paragraphs) if one.get("is_supporting", True)]
    places = [(at, index) for at, index in spans if at in marked and (paragraphs[at]["title"], index) in wanted]
    return tuple(sorted((key, *spans[place]) for place in places))
