"""SQuALITY (arXiv 2205.11465): summaries of a story of 3 to 6 thousand words that a question asks for.

Each has four references. The first question of every story asks for the plot and is a kind of its own. Reads our own
file and the published one (``dev.jsonl`` of version 1.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rereader.evals.given import Given, GivenTexts
from rereader.evals.items import Item, benchmark
from rereader.evals.origins import benchmark_file, read_rows
from rereader.evals.summaries import summary_item


@benchmark("squality")
class Squality(GivenTexts):
    """The benchmark ``squality``; a text's key is its passage's id."""

    name = "squality"

    def files(self) -> Sequence[Path]:
        """The one file."""
        file, hub = self._options.file, self._options.hub
        default, original = "squality/squality.jsonl.gz", "nyu-mll/SQuALITY"
        return [benchmark_file(self._data, default, file=file, hub=hub, original=original)]

    def load(self) -> Iterator[Given]:
        """The stories."""
        for row in read_rows(self.files()[0]):
            key = str(row["passage_id"] if "passage_id" in row else row["metadata"]["passage_id"])
            items = tuple(self._item(key, number, raw) for number, raw in enumerate(row["questions"]))
            yield Given(key, "story", row["document"], items)

    def _item(self, key: str, number: int, raw: Mapping[str, Any]) -> Item:
        if "references" in raw:
            question, references = raw["question"], raw["references"]
        else:
            question, references = raw["question_text"], [one["response_text"] for one in raw["responses"]]
        kind = "detail" if number else "plot"
        return summary_item(
            self.name, f"{key}-{number}", kind, question, references, key, (), self._options.answer_budget
        )
