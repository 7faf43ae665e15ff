"""Questions on paragraphs (SQuAD), each with the paragraph that answers it among seven others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rereader.evals.data import hash_files, read_lines
from rereader.evals.items import Split
from rereader.evals.marked import dealt
from rereader.schema.errors import InputError
from rereader.tools.wording import ARTICLES
from rereader.tools.words import STOP_WORDS

PARAGRAPHS = 8
"""Paragraphs of a text, the one that answers included."""
KINDS = ("name", "date", "number", "other")
_FILE = ("squad", "squad_dev_subset.jsonl.gz")
_MONTH = re.compile(
    r"\b(January|February|March|April|May|June|July|August|September|October|November|December)\b(?=.*\d|$)"
)
_YEAR = re.compile(r"\b(1\d{3}|20\d{2})s?\b(?!,\d)|\bcentur(y|ies)\b|\b(BC|AD)\b")
_COUNTS = frozenset(
    (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand"),
        *("million", "billion", "half", "once", "twice", "both"),
        *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    )
)


@dataclass(frozen=True)
class Question:
    """A question and its accepted answers."""

    id: str
    kind: str
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class ParagraphText:
    """Paragraphs and the questions that one of them answers.

    Args:
        name: Names the paragraph that answers.
        paragraphs: The paragraphs, shuffled.
        gold: Place of the one that answers.
        questions: The questions.
    """

    name: str
    paragraphs: tuple[str, ...]
    gold: int
    questions: tuple[Question, ...]


def squad_file(data: Path) -> Path:
    """The file of the questions."""
    return data.joinpath(*_FILE)


def squad_hash(data: Path) -> str:
    """sha256 over that file."""
    return hash_files([squad_file(data)])


def paragraph_texts(data: Path, split: Split, seed: int) -> list[ParagraphText]:
    """A text for every paragraph that has questions, in an order that the seed decides.

    Articles are dealt to the splits by a hash of their titles. The other paragraphs are of the same article first and
    then of others of the split. All questions on a paragraph are put to the same text.

    Raises:
        InputError: If the split has too few paragraphs.
    """
    rows = [row for row in read_lines(squad_file(data)) if _split(row["title"]) == split]
    articles = {row["context"]: row["title"] for row in rows}
    if len(articles) < PARAGRAPHS:
        raise InputError(f"The {split} split has {len(articles)} paragraphs.", f"Needed are {PARAGRAPHS}.")
    texts = [_text(context, articles, rows, seed) for context in articles]
    Random(f"order:{seed}").shuffle(texts)
    return texts


def answer_kind(answer: str) -> str:
    """What an answer is, told by its wording alone: one of :data:`KINDS`.

    A month, year or century makes a date; digits or number words a number; capital letters at the beginning of every
    word but the smallest a name.
    """
    if _MONTH.search(answer) or _YEAR.search(answer):
        return "date"
    words = [word for word in re.findall(r"[^\W_]+", answer) if word.lower() not in ARTICLES]
    if any(character.isdigit() for character in answer) or any(word.lower() in _COUNTS for word in words):
        return "number"
    content = [word for word in words if word.lower() not in STOP_WORDS]
    return "name" if content and all(word[0].isupper() for word in content) else "other"


def _split(title: str) -> Split:
    return "dev" if dealt(title) == "detect" else "test"


def _text(context: str, articles: dict[str, str], rows: Sequence[dict[str, Any]], seed: int) -> ParagraphText:
    mine = [row for row in rows if row["context"] == context]
    name, rng = mine[0]["id"], Random(f"{seed}:{mine[0]['id']}")
    near = [other for other, title in articles.items() if title == articles[context] and other != context]
    far = [other for other, title in articles.items() if title != articles[context]]
    others = [*rng.sample(near, len(near)), *rng.sample(far, min(PARAGRAPHS, len(far)))][: PARAGRAPHS - 1]
    paragraphs = [context, *others]
    rng.shuffle(paragraphs)
    questions = tuple(
        Question(row["id"], answer_kind(row["answers"][0]), row["question"], tuple(row["answers"])) for row in mine
    )
    return ParagraphText(name, tuple(paragraphs), paragraphs.index(context), questions)
