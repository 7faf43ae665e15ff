"""What RULER's texts are made of: words, essays, and paragraphs with questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from rereader.evals.data import HINT, read_lines, read_text
from rereader.evals.items import Split
from rereader.evals.marked import dealt
from rereader.evals.memory_items import squad_file
from rereader.evals.paragraphs import Pool, question_file
from rereader.schema.errors import InputError, MissingExtra

_PLAIN_WORD = re.compile(r"[a-z]{3,}")


class Sources:
    """Reads each source when it is first asked for.

    Args:
        data: The data folder.
        split: Whose questions are asked: SQuAD's are dealt by article, HotpotQA's one by one.
        pool: Paragraphs to hide others among.
    """

    def __init__(self, data: Path, split: Split, pool: Pool) -> None:
        self._data = data
        self._part = "detect" if split == "dev" else "test"
        self.pool = pool

    @cached_property
    def essays(self) -> list[str]:
        """The words of all essays, in order."""
        return [word for path in essay_files(self._data) for word in read_text(path).split()]

    @cached_property
    def nouns(self) -> list[str]:
        """English nouns, in alphabetical order."""
        return _words("noun")

    @cached_property
    def adjectives(self) -> list[str]:
        """English adjectives, in alphabetical order."""
        return _words("adjective")

    @cached_property
    def words(self) -> list[str]:
        """Nouns, adjectives and verbs, each once."""
        return sorted({*self.nouns, *self.adjectives, *_words("verb")})

    @cached_property
    def squad(self) -> list[dict[str, Any]]:
        """Questions on single paragraphs."""
        return [raw for raw in read_lines(squad_file(self._data)) if dealt(raw["title"]) == self._part]

    @cached_property
    def hotpot(self) -> list[dict[str, Any]]:
        """Questions that need two of their ten paragraphs."""
        rows = read_lines(question_file(self._data, "hotpotqa"))
        return [raw for raw in rows if raw["supporting_facts"] and dealt(raw["id"]) == self._part]

    @cached_property
    def articles(self) -> Mapping[str, Sequence[str]]:
        """The paragraphs of each article that has questions."""
        found: dict[str, dict[str, None]] = {}
        for raw in self.squad:
            found.setdefault(raw["title"], {})[raw["context"]] = None
        return {title: list(paragraphs) for title, paragraphs in found.items()}

    def key(self, rng: Random) -> str:
        """An adjective and a noun, as one word."""
        return f"{rng.choice(self.adjectives)}-{rng.choice(self.nouns)}"


def essay_files(data: Path) -> list[Path]:
    """The essays.

    Raises:
        InputError: If there are none.
    """
    found = sorted((data / "essays").glob("*.txt.gz"))
    if not found:
        raise InputError(f"There are no essays in {data / 'essays'}.", HINT)
    return found


def _words(category: str) -> list[str]:
    try:
        from wonderwords import RandomWord
    except ImportError as error:
        raise MissingExtra("RULER", "bench") from error
    found = RandomWord().filter(include_categories=[category])
    return sorted({word for word in found if _PLAIN_WORD.fullmatch(word)})
