"""Questions on whole public-domain books.

Famous novels are in every model's training data, so an answer alone proves little: compare with the no-context
system and look at the evidence. The gold spans are the evidence quotes; of several occurrences the one nearest to the
noted position counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from rereader.evals.data import hash_files, parse_options, read_lines, read_text
from rereader.evals.items import Item, Split, benchmark
from rereader.schema.errors import InputError
from rereader.schema.types import Frozen

# One character for one, so that offsets stay true; quotes were noted with plain apostrophes.
PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--")


class BookOptions(Frozen):
    """Options of the suite: which books (all when empty), words of an answer that are scored."""

    books: tuple[str, ...] = ()
    answer_budget: int = Field(default=50, ge=1)


@benchmark("books")
class Books:
    """The benchmark ``books``; a text's key is the book's short name. Nothing is drawn, so every seed is the same."""

    name = "books"

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self._folder = data / "books"
        self._options = parse_options(BookOptions, options)
        self._texts: dict[str, str] = {}
        self._plain: dict[str, str] = {}
        known = {raw["book"] for raw in self._questions()}
        if unknown := sorted(set(self._options.books) - known):
            raise InputError(
                f"There are no questions on the book {unknown[0]!r}.", f"Known: {', '.join(sorted(known))}."
            )

    def text(self, key: str) -> str:
        """The whole book."""
        if key not in self._texts:
            self._texts[key] = read_text(self._folder / f"{key}.txt.gz")
        return self._texts[key]

    def items(self, split: Split, seed: int) -> list[Item]:
        """Dev: the questions 0, 2, 4, ... of each book; test: the others."""
        asked: Counter[str] = Counter()
        items = []
        for raw in self._questions():
            index = asked[raw["book"]]
            asked[raw["book"]] += 1
            if self._wanted(raw["book"]) and ("dev", "test")[index % 2] == split:
                items.append(self._item(raw, seed))
        return items

    def data_hash(self) -> str:
        """sha256 over the questions and the books they are about."""
        books = {raw["book"] for raw in self._questions() if self._wanted(raw["book"])}
        return hash_files([self._questions_file, *(self._folder / f"{book}.txt.gz" for book in books)])

    def facts(self) -> dict[str, Any]:
        """The options."""
        return self._options.model_dump(mode="json")

    def _item(self, raw: Mapping[str, Any], seed: int) -> Item:
        plain = self._plain_text(raw["book"])
        spans = (locate(plain, quote["quote"], quote["position"]) for quote in raw["evidence"])
        return Item(
            id=raw["id"],
            benchmark=self.name,
            kind=raw["kind"],
            question=raw["question"],
            answers=tuple(raw["answers"]),
            documents=(raw["book"],),
            gold=tuple((raw["book"], start, end) for start, end in spans),
            answer_budget=self._options.answer_budget,
            expects="decline" if raw["kind"] == "unanswerable" else "any",
            seed=seed,
        )

    def _plain_text(self, book: str) -> str:
        if book not in self._plain:
            self._plain[book] = self.text(book).translate(PLAIN)
        return self._plain[book]

    def _wanted(self, book: str) -> bool:
        return not self._options.books or book in self._options.books

    def _questions(self) -> list[dict[str, Any]]:
        return read_lines(self._questions_file)

    @property
    def _questions_file(self) -> Path:
        return self._folder / "questions.jsonl"


def locate(plain: str, quote: str, position: float) -> tuple[int, int]:
    """The span ``[start, end)`` of the quote's occurrence nearest to ``position`` (0 to 1 of the text).

    ``plain`` is the text with plain quotation marks and dashes (the map ``PLAIN``). White space matches any
    white space.

    Raises:
        InputError: If the quote does not occur.
    """
    pattern = r"\s+".join(re.escape(word) for word in quote.translate(PLAIN).split())
    found = [match.span() for match in re.finditer(pattern, plain)]
    if not found:
        raise InputError(f"A benchmark's evidence is not in its book: {quote!r}.", "Check the data's checksums.")
    return min(found, key=lambda span: abs(span[0] - position * len(plain)))
