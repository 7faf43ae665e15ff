"""Questions on whole real documents (from L-Eval, arXiv 2307.11088): Wikipedia pages, papers, contracts.

Natural questions count as contained answers, papers by token F1 (Qasper's measure), contracts by ROUGE-L against the
clause. Where an answer stands literally in its document, and there only once, that place is gold evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rereader.evals.given import Given, GivenOptions, GivenTexts
from rereader.evals.items import Item, benchmark
from rereader.evals.origins import benchmark_file, read_rows
from rereader.schema.errors import InputError

RULES = {"natural_questions": "", "scientific_papers": "f1", "legal_contracts": "rouge"}
"""The rule of each set; none where whole words within the budget decide."""


class LongdocOptions(GivenOptions):
    """Options of the suite; ``sets`` names some of the three."""

    sets: tuple[str, ...] = tuple(RULES)


@benchmark("longdoc")
class Longdoc(GivenTexts):
    """The benchmark ``longdoc``; a text's key is its document's id."""

    name = "longdoc"
    options_type: ClassVar[type[GivenOptions]] = LongdocOptions
    _options: LongdocOptions

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        super().__init__(data, options)
        if unknown := [name for name in self._options.sets if name not in RULES]:
            raise InputError(f"There is no set {unknown[0]!r} of documents.", f"There are: {', '.join(RULES)}.")
        if self._options.file:
            raise InputError("longdoc has a file for each set.", "Leave `file` out, and name `sets`.")

    def files(self) -> Sequence[Path]:
        """The file of each set."""
        hub, original = self._options.hub, "OpenLMLab/LEval"
        names = [f"longdoc_qa/{name}.jsonl.gz" for name in self._options.sets]
        return [benchmark_file(self._data, name, hub=hub, original=original) for name in names]

    def load(self) -> Iterator[Given]:
        """The documents of all chosen sets."""
        for name, path in zip(self._options.sets, self.files(), strict=True):
            for row in read_rows(path):
                key, text = row["doc_id"], row["document"]
                items = tuple(self._item(name, key, text, question) for question in row["questions"])
                yield Given(key, name, text, items)

    def _item(self, name: str, key: str, text: str, raw: Mapping[str, Any]) -> Item:
        place = only_place(text, raw["answer"])
        return Item(
            id=raw["id"],
            benchmark=self.name,
            kind=name,
            question=raw["question"],
            answers=(raw["answer"],),
            documents=(key,),
            gold=() if place is None else ((key, *place),),
            answer_budget=max(self._options.answer_budget, 2 * len(raw["answer"].split())),
            rule=RULES[name],
        )


def only_place(text: str, answer: str) -> tuple[int, int] | None:
    """Where an answer stands as whole words, white space aside; ``None`` unless that is one place."""
    pattern = r"\s+".join(map(re.escape, answer.split()))
    found = [match.span() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text)] if pattern else []
    return found[0] if len(found) == 1 else None
