"""QuALITY (arXiv 2112.08608): four options to a question on a story or an article of 2 to 8 thousand tokens.

Reads our own file and the published ones (``QuALITY.v1.0.1.htmlstripped.dev``), whose half of hard questions is a kind
of its own. Chance is a quarter. There is no gold evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rereader.evals.given import Given, GivenTexts
from rereader.evals.items import Item, benchmark
from rereader.evals.origins import benchmark_file, read_rows

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ASKED = "Answer with the letter of the right option."


@benchmark("quality")
class Quality(GivenTexts):
    """The benchmark ``quality``; a text's key is its article's id."""

    name = "quality"

    def files(self) -> Sequence[Path]:
        """The one file."""
        options, default = self._options, "quality/quality.jsonl.gz"
        file, hub = options.file, options.hub
        return [benchmark_file(self._data, default, file=file, hub=hub, original="nyu-mll/quality")]

    def load(self) -> Iterator[Given]:
        """The articles; where questions on one are spread over rows, together."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in read_rows(self.files()[0]):
            rows.setdefault(row["article_id"], []).append(row)
        for key, several in rows.items():
            questions = (question for row in several for question in row["questions"])
            items = tuple(self._item(key, number, question) for number, question in enumerate(questions))
            yield Given(key, "article", several[0]["article"], items)

    def _item(self, key: str, number: int, raw: Mapping[str, Any]) -> Item:
        right = raw["gold"] if "gold" in raw else raw["gold_label"] - 1
        hard = {0: "easy", 1: "hard"}.get(raw.get("difficult", -1), "question")
        return Item(
            id=raw.get("id") or raw.get("question_unique_id") or f"{key}-{number}",
            benchmark=self.name,
            kind=hard,
            question=lettered(raw["question"], raw["options"]),
            answers=(raw["options"][right],),
            documents=(key,),
            gold=(),
            answer_budget=self._options.answer_budget,
            rule="choice",
            meta={"options": list(raw["options"])},
        )


def lettered(question: str, options: Sequence[str]) -> str:
    """A question with its options below it, a letter before each."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, ASKED])
