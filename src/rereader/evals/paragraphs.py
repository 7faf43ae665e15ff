"""Paragraphs with titles, to hide a question's own among: up to 3.5 million tokens of them, none twice.

The first tiers are paragraphs of other multi-hop questions, so that nothing but the question tells its own from the
rest; then come Wikipedia paragraphs of other questions, and passages of books at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypedDict

from rereader.evals.data import read_lines, read_text
from rereader.evals.haystack import sentences
from rereader.tools.wording import holds, normalise

SETS = ("hotpotqa", "2wikimultihopqa", "musique")
PASSAGE_WORDS = 100
"""Words that a passage of a book has at least."""
_CLOSED = (["yes"], ["no"])
_PUNCTUATION = str.maketrans("", "", "!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~")


class Paragraph(TypedDict):
    """A title and the sentences under it."""

    title: str
    sentences: Sequence[str]


Tier = Mapping[str, Paragraph]
"""Paragraphs by title."""


def question_file(data: Path, name: str) -> Path:
    """The questions of one multi-hop set."""
    return data / "multihop" / f"{name}.jsonl.gz"


class Pool:
    """All paragraphs, in tiers that are used up one after the other; each is read when the one before is used up.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._read: list[Tier] = []
        self._unread = _tiers(data)

    def drawn(self, rng: Random, own: Collection[str], answers: Sequence[str] = ()) -> Iterator[Paragraph]:
        """Every paragraph once, each tier in a drawn order.

        Args:
            rng: Draws the orders.
            own: Titles to leave out.
            answers: Paragraphs that hold one of these are left out too.
        """
        for tier in self._tiers():
            for title in rng.sample(sorted(tier), len(tier)):
                if title not in own and not tells(tier[title], answers):
                    yield tier[title]

    def _tiers(self) -> Iterator[Tier]:
        for at in count():
            if at == len(self._read):
                found = next(self._unread, None)
                if found is None:
                    return
                self._read.append(found)
            yield self._read[at]


def pool_files(data: Path) -> list[Path]:
    """Every file that a :class:`Pool` may read."""
    named = [question_file(data, name) for name in (*SETS, "distractor_pool")]
    return [*named, _nq(data), *_books(data)]


def tells(paragraph: Paragraph, answers: Sequence[str]) -> bool:
    """Whether a paragraph holds one of the answers, as whole words; yes and no are told by none."""
    text = " ".join([paragraph["title"], *paragraph["sentences"]])
    plain = text.casefold().translate(_PUNCTUATION) if text.isascii() else None
    for words in map(normalise, answers):
        likely = plain is None or any(word.translate(_PUNCTUATION) in plain for word in words[:1])
        if likely and words not in _CLOSED and holds(normalise(text), words):
            return True
    return False


def _tiers(data: Path) -> Iterator[Tier]:
    """The tiers; no title comes twice."""
    taken: set[str] = set()
    for source in _sources(data):
        tier: dict[str, Paragraph] = {}
        for paragraph in source:
            if paragraph["title"] not in taken:
                tier.setdefault(paragraph["title"], paragraph)
        taken |= tier.keys()
        yield tier


def _sources(data: Path) -> Iterator[Iterator[Paragraph]]:
    for name in SETS:
        yield (paragraph for raw in read_lines(question_file(data, name)) for paragraph in raw["paragraphs"])
    yield map(_one_sentence, read_lines(question_file(data, "distractor_pool")))
    yield map(_one_sentence, read_lines(_nq(data)))
    for path in _books(data):
        yield _passages(path)


def _one_sentence(raw: Mapping[str, Any]) -> Paragraph:
    return {"title": raw["title"], "sentences": [raw["text"]]}


def _passages(path: Path) -> Iterator[Paragraph]:
    """A book cut at the ends of sentences."""
    title = path.name.partition(".")[0].replace("_", " ")
    kept: list[str] = []
    words = number = 0
    for sentence in sentences(" ".join(read_text(path).split())):
        kept.append(sentence)
        words += sentence.count(" ") + 1
        if words >= PASSAGE_WORDS:
            number += 1
            yield {"title": f"{title}, passage {number}", "sentences": kept}
            kept, words = [], 0


def _nq(data: Path) -> Path:
    return data / "nq" / "nq_gold_paragraphs.jsonl.gz"


def _books(data: Path) -> list[Path]:
    return sorted((data / "books").glob("*.txt.gz"))
