"""Questions over short texts whose answering sentences are marked: to find retrieval heads by, and to measure rankings.

Detection and test items never meet: each set is dealt by a hash of the item's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from rereader.evals.data import read_lines, read_text
from rereader.evals.needles import split_items
from rereader.schema.errors import InputError
from rereader.tools.sentences import sentence_spans

GENERATOR = "marked/2"
"""Goes up whenever the same data would give other items."""
Part = Literal["detect", "test"]
SETS = ("hotpotqa", "2wikimultihopqa", "musique", "needles")
_NEEDLE_SENTENCES = 60


@dataclass(frozen=True)
class MarkedItem:
    """A question, a text cut into parts that join to it, and the places of the parts that answer."""

    id: str
    kind: str
    question: str
    parts: tuple[str, ...]
    gold: frozenset[int]


def marked_items(name: str, data: Path, part: Part) -> list[MarkedItem]:
    """The items of a set, in the file's order.

    ``hotpotqa`` and ``2wikimultihopqa`` are cut into sentences (the gold ones are the supporting facts), ``musique``
    into paragraphs, ``needles`` are planted facts among 60 sentences of essays.

    Raises:
        InputError: If there is no such set, or its data is not here.
    """
    if name not in SETS:
        raise InputError(f"There is no set {name!r}.", f"Known: {', '.join(SETS)}.")
    if name == "needles":
        return list(_needles(data, part))
    rows = read_lines(data / "multihop" / f"{name}.jsonl.gz")
    return [item for item in map(_multihop, rows) if item.gold and dealt(item.id) == part]


def dealt(identity: str) -> Part:
    """Which half an item belongs to."""
    return "detect" if hashlib.sha256(identity.encode()).digest()[0] % 2 else "test"


def _multihop(raw: Mapping[str, Any]) -> MarkedItem:
    facts = {(title, index) for title, index in raw["supporting_facts"]}
    parts: list[str] = []
    gold: set[int] = set()
    for paragraph in raw["paragraphs"]:
        # MuSiQue gives several paragraphs one title, and marks those that are needed.
        needed = paragraph.get("is_supporting", True)
        sentences = [(index, text.strip()) for index, text in enumerate(paragraph["sentences"]) if text.strip()]
        before = f"{paragraph['title']}\n"
        for index, sentence in sentences:
            if needed and (paragraph["title"], index) in facts:
                gold.add(len(parts))
            end = " " if index < sentences[-1][0] else "\n\n"
            parts.append(f"{before}{sentence}{end}")
            before = ""
    return MarkedItem(raw["id"], raw["type"], raw["question"], tuple(parts), frozenset(gold))


def _needles(data: Path, part: Part) -> Iterator[MarkedItem]:
    essays = " ".join(read_text(path) for path in sorted((data / "essays").glob("*.txt.gz")))
    sentences = [essays[start:end].strip() for start, end in sentence_spans(essays)]
    raws = read_lines(data / "needles" / "planted_facts.jsonl")
    for raw in split_items(raws, "dev" if part == "detect" else "test"):
        if raw["kind"] == "absent":
            continue
        rng = Random(f"marked:{raw['id']}")
        start = rng.randrange(len(sentences) - _NEEDLE_SENTENCES)
        parts = sentences[start : start + _NEEDLE_SENTENCES]
        for needle in raw["needles"]:
            parts.insert(rng.randrange(len(parts) + 1), needle)
        gold = frozenset(place for place, sentence in enumerate(parts) if sentence in raw["needles"])
        yield MarkedItem(raw["id"], raw["kind"], raw["question"], tuple(f"{one} " for one in parts), gold)
