"""What benchmarks share whose texts are given: texts with questions, dealt to the splits by the text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rereader.evals.data import hash_files, parse_options
from rereader.evals.items import Item, Split
from rereader.evals.marked import dealt
from rereader.schema.errors import InputError


class GivenOptions(BaseModel):
    """Options of the suite.

    Args:
        hub: Id of a hub data set to take the file from, in place of the data folder.
        file: The file in that data set, or below the data folder, in our form or as it was published.
        per_text: Most questions on one text.
        answer_budget: Most words of an answer that count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str = ""
    file: str = ""
    per_text: int | None = Field(default=None, ge=1)
    answer_budget: int = Field(default=50, ge=1)


@dataclass(frozen=True)
class Given:
    """A text, the group that it is counted with, and its questions."""

    key: str
    group: str
    text: str
    items: tuple[Item, ...]


class GivenTexts(ABC):
    """A benchmark of given texts; a subclass says which file and how its rows read.

    Args:
        data: The data folder.
        options: The suite's options.
    """

    name: str
    options_type: ClassVar[type[GivenOptions]] = GivenOptions

    def __init__(self, data: Path, options: Mapping[str, Any]) -> None:
        self._data = data
        self._options = parse_options(self.options_type, options)

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that are read."""

    @abstractmethod
    def load(self) -> Iterable[Given]:
        """All texts with their questions, whatever split they belong to."""

    def text(self, key: str) -> str:
        """The text with this key."""
        if key not in self._texts:
            raise InputError(f"{self.name} has no text {key!r}.", "Keys are those of the items.")
        return self._texts[key].text

    def items(self, split: Split, seed: int) -> Iterator[Item]:
        """The questions of a split, text by text: groups in turn, the texts of each in an order drawn for the seed."""
        groups: dict[str, list[Given]] = {}
        for given in self._texts.values():
            if (dealt(given.key) == "detect") == (split == "dev"):
                groups.setdefault(given.group, []).append(given)
        rng = Random(f"{self.name}:{seed}")
        drawn = [rng.sample(texts, len(texts)) for _, texts in sorted(groups.items())]
        for given in (one for turn in zip_longest(*drawn) for one in turn if one is not None):
            for item in given.items[: self._options.per_text]:
                yield replace(item, seed=seed)

    def data_hash(self) -> str:
        """sha256 over the files."""
        return hash_files(self.files())

    def facts(self) -> dict[str, Any]:
        """The options."""
        return self._options.model_dump(mode="json")

    @cached_property
    def _texts(self) -> dict[str, Given]:
        return {given.key: given for given in self.load()}
