"""Multi-hop questions and the numbered documents that they are put to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from random import Random
from typing import Any

from rereader.evals.drafts import Draft
from rereader.evals.items import GoldSpan, Split
from rereader.evals.marked import dealt
from rereader.evals.paragraphs import Paragraph

Question = Mapping[str, Any]
"""A row of a multi-hop set: question, answers, paragraphs, supporting facts."""


def drawn_questions(raws: Sequence[Question], split: Split, seed: int) -> list[Question]:
    """The questions of a split that say what supports them, in an order drawn for the seed; heads were found on dev."""
    part = "detect" if split == "dev" else "test"
    kept = [raw for raw in raws if dealt(raw["id"]) == part and raw["supporting_facts"]]
    return Random(f"multihop:{seed}").sample(kept, len(kept))


def own_documents(raws: Sequence[Question], documents: int) -> dict[str, Paragraph]:
    """The questions' own paragraphs by title: those that support them, then the others in turn while there is room."""
    gold = {title for raw in raws for title, _ in raw["supporting_facts"]}
    turns = zip_longest(*(raw["paragraphs"] for raw in raws))
    own = [paragraph for turn in turns for paragraph in turn if paragraph]
    chosen: dict[str, Paragraph] = {one["title"]: one for one in own if one["title"] in gold}
    for paragraph in own:
        if len(chosen) < max(documents, len(raws[0]["paragraphs"])):
            chosen.setdefault(paragraph["title"], paragraph)
    return chosen


def own_titles(raws: Sequence[Question]) -> set[str]:
    """Titles of every paragraph that came with the questions."""
    return {paragraph["title"] for raw in raws for paragraph in raw["paragraphs"]}


def lay_out(paragraphs: Sequence[Paragraph]) -> tuple[str, dict[tuple[int, int], tuple[int, int]]]:
    """The text of numbered documents, and where each sentence stands, by place of its paragraph and its own number."""
    draft, spans = Draft(), {}
    for at, paragraph in enumerate(paragraphs):
        draft.add(f"Document {at + 1}: {paragraph['title']}\n")
        for index, sentence in enumerate(paragraph["sentences"]):
            if body := sentence.strip():
                spans[at, index] = draft.add(body)
                draft.add(" ")
        draft.add("\n\n")
    return draft.text(), spans


def crowd_text(
    key: str, raws: Sequence[Question], paragraphs: Sequence[Paragraph]
) -> tuple[str, dict[str, list[GoldSpan]]]:
    """The text of these paragraphs, and where each question has its supporting facts."""
    text, spans = lay_out(paragraphs)
    by_title = {(paragraphs[at]["title"], index): span for (at, index), span in spans.items()}
    facts = {raw["id"]: {tuple(fact) for fact in raw["supporting_facts"]} & by_title.keys() for raw in raws}
    return text, {name: sorted((key, *by_title[fact]) for fact in found) for name, found in facts.items()}
