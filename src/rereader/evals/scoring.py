"""Scores one reply: the answer's words, the decision to decline, and the evidence.

Two habits of published scorers are avoided: a reply that is a fragment of the gold answer is not right (RULER-HQA's
two-way test), and words past the answer budget are not read, so that naming everything does not pay (RULER's
substring test).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rereader.evals.items import GoldSpan, Item
from rereader.evals.rules import OWN, RULES
from rereader.evals.wordings import contained_share, exact_match, token_f1
from rereader.tools.words import count_words, word_limit

FOUND_SHARE = 0.5
"""A gold span counts as found when at least this share of its characters is covered."""

Merged = Mapping[str, Sequence[tuple[int, int]]]
Scores = dict[str, float | None]


def merge(spans: Iterable[GoldSpan]) -> dict[str, list[tuple[int, int]]]:
    """The union of spans: for each text, disjoint spans in order."""
    by_key: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, start, end in sorted(spans):
        union = by_key[key]
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return dict(by_key)


def covered(span: GoldSpan, merged: Merged) -> int:
    """Characters of a span that lie inside the union."""
    key, start, end = span
    return sum(max(0, min(end, right) - max(start, left)) for left, right in merged.get(key, ()))


def evidence_recall(evidence: Sequence[GoldSpan], gold: Sequence[GoldSpan]) -> float | None:
    """Share of gold spans of which at least half of the characters are covered; ``None`` without gold."""
    if not gold:
        return None
    union = merge(evidence)
    found = [covered(span, union) >= FOUND_SHARE * (span[2] - span[1]) for span in gold]
    return sum(found) / len(found)


def passage_precision(evidence: Sequence[GoldSpan], gold: Sequence[GoldSpan]) -> float | None:
    """Share of evidence passages that share a character with a gold span; ``None`` without gold or evidence."""
    if not gold or not evidence:
        return None
    union = merge(gold)
    return sum(covered(span, union) > 0 for span in evidence) / len(evidence)


def character_precision(evidence: Sequence[GoldSpan], gold: Sequence[GoldSpan]) -> float | None:
    """Share of the characters of all evidence that lie in a gold span; ``None`` without gold or evidence."""
    shown = [(key, start, end) for key, spans in merge(evidence).items() for start, end in spans]
    length = sum(end - start for _, start, end in shown)
    if not gold or not length:
        return None
    union = merge(gold)
    return sum(covered(span, union) for span in shown) / length


def first_words(evidence: Iterable[GoldSpan], texts: Mapping[str, str], words: int) -> list[GoldSpan]:
    """The passages up to a number of words in all, in the given order; the one that passes the limit is cut there."""
    kept: list[GoldSpan] = []
    left = words
    for key, start, end in evidence:
        if left <= 0:
            break
        passage = word_limit(texts[key][start:end], left)
        kept.append((key, start, start + len(passage)))
        left -= count_words(passage)
    return kept


def words_shown(evidence: Iterable[GoldSpan], texts: Mapping[str, str]) -> int:
    """Words of all passages; what two passages share counts twice, since a reader is shown it twice."""
    return sum(count_words(texts[key][start:end]) for key, start, end in evidence)


def score_evidence(item: Item, evidence: Sequence[GoldSpan], texts: Mapping[str, str], words: int | None) -> Scores:
    """Recall, precision and words of the evidence; only the first ``words`` words of it count (all when ``None``)."""
    counted = list(evidence) if words is None else first_words(evidence, texts, words)
    return {
        "evidence_recall": evidence_recall(counted, item.gold),
        "evidence_precision": passage_precision(counted, item.gold),
        "evidence_character_precision": character_precision(counted, item.gold),
        "evidence_words": float(words_shown(evidence, texts)),
        "evidence_passages": float(len(evidence)),
    }


def score_answer(item: Item, answer: str, declined: bool) -> Scores:
    """Scores of the wording and of the decision to decline.

    ``right`` is the one number a table needs: declined where that is wanted, otherwise what the benchmark's own rule
    says if it decides, and the contained share if not. A declined answer says nothing, whatever its wording.
    """
    said = "" if declined else answer
    wants_decline = item.expects == "decline"
    contained = None if wants_decline else contained_share(said, item.answers, item.answer_budget, item.expects)
    golds = [" ".join(item.answers)] if item.expects == "all" else item.answers
    own = {} if contained is None else _own(item, said)
    return {
        "contained": contained,
        "exact": None if wants_decline else float(exact_match(said, golds)),
        "f1": None if wants_decline else token_f1(said, golds),
        "declined": float(declined),
        "decision_right": float(declined == wants_decline),
        "right": float(declined) if contained is None else _right(item, own, contained),
        "answer_words": float(count_words(answer)),
        **own,
    }


def wrong_answer(item: Item) -> dict[str, Any]:
    """The scores of a call that failed: nothing found, nothing said, and the decision counts as wrong."""
    scores = score_answer(item, "", declined=False)
    return {**scores, "declined": None, "decision_right": 0.0, "right": 0.0}


def _own(item: Item, said: str) -> Mapping[str, float]:
    """What the benchmark's own rule gives, if it has one."""
    return RULES[item.rule].score(item, word_limit(said, item.answer_budget)) if item.rule else {}


def _right(item: Item, own: Mapping[str, float], contained: float) -> float:
    return own[OWN] if item.rule and RULES[item.rule].decides else contained
