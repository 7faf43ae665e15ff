"""What RULER's texts are made of: words, essays, and paragraphs with questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from rereader.evals.data import HINT, read_lines, read_text
from rereader.evals.memory_items import squad_file
from rereader.evals.paragraphs import Pool, pool_files, question_file
from rereader.schema.errors import InputError, MissingExtra

_PLAIN_WORD = re.compile(r"[a-z]{3,}")


class Sources:
    """Reads each source when it is first asked for.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self.pool = Pool(data)
        """Paragraphs to hide others among."""

    def files(self, essays: bool, paragraphs: bool) -> list[Path]:
        """The files that essays and paragraphs are read from."""
        read = [squad_file(self._data), *pool_files(self._data)] if paragraphs else []
        return [*(self._essay_files if essays else ()), *read]

    @cached_property
    def essays(self) -> list[str]:
        """The words of all essays, in order."""
        return [word for path in self._essay_files for word in read_text(path).split()]

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
        return read_lines(squad_file(self._data))

    @cached_property
    def hotpot(self) -> list[dict[str, Any]]:
        """Questions that need two of their ten paragraphs."""
        return [raw for raw in read_lines(question_file(self._data, "hotpotqa")) if raw["supporting_facts"]]

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

    @property
    def _essay_files(self) -> list[Path]:
        found = sorted((self._data / "essays").glob("*.txt.gz"))
        if not found:
            raise InputError(f"There are no essays in {self._data / 'essays'}.", HINT)
        return found


def _words(category: str) -> list[str]:
    try:
        from wonderwords import RandomWord
    except ImportError as error:
        raise MissingExtra("RULER", "bench") from error
    found = RandomWord().filter(include_categories=[category])
    return sorted({word for word in found if _PLAIN_WORD.fullmatch(word)})
