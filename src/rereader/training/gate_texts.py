"""Texts to train a gate on: paragraphs of multi-hop questions in a crowd of others, with the places of the facts.

Only the half of the questions that no test measurement uses, and only their paragraphs, come into these texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rereader.evals.data import hash_files, read_lines
from rereader.evals.marked import dealt
from rereader.schema import InputError
from rereader.tools.sentences import sentence_spans

SOURCES = ("hotpotqa", "2wikimultihopqa", "musique")
GENERATOR = "gate texts/2"
"""Goes up whenever the same questions and seed would give other texts or labels."""
Place = tuple[int, int]
Paragraph = Mapping[str, Any]
_Name = tuple[str, tuple[str, ...]]
"""What tells a paragraph from others: a title is not enough, MuSiQue has several of one title in a question."""


@dataclass(frozen=True)
class GateQuestion:
    """A question of a text.

    Args:
        id: Its name.
        question: The question.
        facts: For each paragraph that it needs, where the sentences stand that it needs of it.
        paragraphs: Where the paragraphs stand that were published with it.
    """

    id: str
    question: str
    facts: tuple[tuple[Place, ...], ...]
    paragraphs: tuple[Place, ...]


@dataclass(frozen=True)
class GateText:
    """A text and its questions."""

    text: str
    questions: tuple[GateQuestion, ...]


def data_files(data: Path, sources: Sequence[str] = SOURCES) -> list[Path]:
    """The files that questions are read from."""
    return [data / "multihop" / f"{source}.jsonl.gz" for source in sources]


def data_hash(data: Path, sources: Sequence[str] = SOURCES) -> str:
    """sha256 over those files."""
    return hash_files(data_files(data, sources))


def read_questions(data: Path, sources: Sequence[str] = SOURCES) -> list[dict[str, Any]]:
    """The questions that may be trained on.

    Raises:
        InputError: If a set is unknown or its data is not here.
    """
    if unknown := [source for source in sources if source not in SOURCES]:
        raise InputError(f"There is no set {unknown[0]!r} to train on.", f"Known: {', '.join(SOURCES)}.")
    rows = [row for file in data_files(data, sources) for row in read_lines(file)]
    return [row for row in rows if row["supporting_facts"] and dealt(row["id"]) == "detect"]


def make_texts(rows: Sequence[Mapping[str, Any]], documents: int, questions: int, rng: Random) -> Iterator[GateText]:
    """Texts of about so many documents with so many questions each; every question is put once.

    Args:
        rows: Questions as :func:`read_questions` gives them.
        documents: Documents of a text; more if the questions' own are more.
        questions: Questions of a text.
        rng: Decides which questions share a text, which strangers come in, and the order.
    """
    pool = {_name(paragraph): paragraph for row in rows for paragraph in row["paragraphs"]}
    names = sorted(pool)
    drawn = rng.sample(list(rows), len(rows))
    for first in range(0, len(drawn), questions):
        group = drawn[first : first + questions]
        chosen = {_name(paragraph): paragraph for row in group for paragraph in row["paragraphs"]}
        titles = {title for title, _ in chosen}
        strangers = [name for name in rng.sample(names, len(names)) if name[0] not in titles]
        chosen |= {name: pool[name] for name in strangers[: max(0, documents - len(chosen))]}
        paragraphs = list(chosen.values())
        rng.shuffle(paragraphs)
        yield _join(paragraphs, group)


def _name(paragraph: Paragraph) -> _Name:
    return paragraph["title"], tuple(paragraph["sentences"])


def _join(paragraphs: Sequence[Paragraph], group: Sequence[Mapping[str, Any]]) -> GateText:
    parts: list[str] = []
    places: dict[_Name, list[Place]] = {}
    size = 0
    for paragraph in paragraphs:
        for index, sentence in enumerate([paragraph["title"], *paragraph["sentences"]]):
            body = sentence.strip()
            places.setdefault(_name(paragraph), []).append((size, size + len(body)))
            parts.append(body + ("\n" if index == 0 else " "))
            size += len(parts[-1])
        parts.append("\n\n")
        size += 2
    text = "".join(parts)
    return GateText(text, tuple(_question(text, row, places) for row in group))


def _question(text: str, row: Mapping[str, Any], places: Mapping[_Name, Sequence[Place]]) -> GateQuestion:
    facts = [
        tuple(narrow for place in needed for narrow in _narrowed(text, place, row))
        for paragraph in row["paragraphs"]
        if (needed := _needed(paragraph, row, places[_name(paragraph)]))
    ]
    own = [places[_name(paragraph)] for paragraph in row["paragraphs"]]
    return GateQuestion(
        row["id"],
        row["question"],
        tuple(dict.fromkeys(facts)),
        tuple((spans[0][0], spans[-1][1]) for spans in own),
    )


def _needed(paragraph: Paragraph, row: Mapping[str, Any], places: Sequence[Place]) -> list[Place]:
    """Where the sentences of a paragraph stand that the question needs; its title is the first of the places."""
    if not paragraph.get("is_supporting", True):
        return []
    wanted = {index for title, index in row["supporting_facts"] if title == paragraph["title"]}
    return [place for index, place in enumerate(places[1:]) if index in wanted]


def _narrowed(text: str, place: Place, row: Mapping[str, Any]) -> list[Place]:
    """MuSiQue marks paragraphs: of one, the sentences with the answer of a step, all of it if none has any."""
    answers = [step["answer"] for step in row.get("decomposition") or ()]
    sentences = [(place[0] + start, place[0] + end) for start, end in sentence_spans(text[slice(*place)])]
    held = [(start, end) for start, end in sentences if any(answer in text[start:end] for answer in answers)]
    return held if answers and held else [place]
