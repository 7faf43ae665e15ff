"""Requests for a summary, scored by ROUGE, stemmed, against the best reference of each measure."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.evals.items import GoldSpan, Item

WORDS = 400
"""Least budget of words: references have about a hundred to four hundred."""


def summary_item(
    benchmark: str,
    name: str,
    kind: str,
    question: str,
    references: Sequence[str],
    key: str,
    gold: tuple[GoldSpan, ...],
    budget: int,
) -> Item:
    """One request: ``references`` are the summaries that people wrote, ``key`` names the text, ``gold`` what tells."""
    return Item(
        id=name,
        benchmark=benchmark,
        kind=kind,
        question=question,
        answers=tuple(references),
        documents=(key,),
        gold=gold,
        answer_budget=max(budget, WORDS),
        rule="rouge",
    )
