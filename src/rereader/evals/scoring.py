"""Scores one reply: the answer's words, the decision to decline, and the evidence.

Two habits of published scorers are avoided: a reply that is a fragment of the gold answer is not right (RULER-HQA's
two-way test), and words past the answer budget are not read, so that naming everything does not pay (RULER's
substring test).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rereader.evals.items import Expects, GoldSpan, Item
from rereader.tools.wording import holds, normalise
from rereader.tools.words import count_words, word_limit

CLOSED = frozenset({"yes", "no"})
FOUND_SHARE = 0.5
"""A gold span counts as found when at least this share of its characters is covered."""

Merged = Mapping[str, Sequence[tuple[int, int]]]
Scores = dict[str, float | None]


def exact_match(answer: str, golds: Iterable[str]) -> bool:
    """Whether the whole answer is one of the gold answers, both normalised."""
    words = normalise(answer)
    return any(words == normalise(gold) for gold in golds)


def token_f1(answer: str, golds: Iterable[str]) -> float:
    """Best harmonic mean of word precision and recall over the gold answers; yes and no must agree exactly."""
    words = normalise(answer)
    return max((_f1(words, normalise(gold)) for gold in golds), default=0.0)


def contains(answer: str, gold: str, budget: int) -> bool:
    """Whether the first ``budget`` words of the answer contain the gold answer as whole neighbouring words."""
    return holds(normalise(word_limit(answer, budget)), normalise(gold))


def contained_share(answer: str, golds: Sequence[str], budget: int, expects: Expects) -> float:
    """1 or 0 when any gold answer will do; the share that is contained when all are wanted."""
    found = [contains(answer, gold, budget) for gold in golds]
    if expects == "all":
        return sum(found) / len(found) if found else 0.0
    return float(any(found))


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

    ``right`` is the one number a table needs: declined where that is wanted, otherwise the contained share. A declined
    answer contains nothing, whatever its wording.
    """
    said = "" if declined else answer
    wants_decline = item.expects == "decline"
    contained = None if wants_decline else contained_share(said, item.answers, item.answer_budget, item.expects)
    golds = [" ".join(item.answers)] if item.expects == "all" else item.answers
    return {
        "contained": contained,
        "exact": None if wants_decline else float(exact_match(said, golds)),
        "f1": None if wants_decline else token_f1(said, golds),
        "declined": float(declined),
        "decision_right": float(declined == wants_decline),
        "right": float(declined) if contained is None else contained,
        "answer_words": float(count_words(answer)),
    }


def wrong_answer(item: Item) -> dict[str, Any]:
    """The scores of a call that failed: nothing found, nothing said, and the decision counts as wrong."""
    scores = score_answer(item, "", declined=False)
    return {**scores, "declined": None, "decision_right": 0.0, "right": 0.0}


def _f1(words: Sequence[str], gold: Sequence[str]) -> float:
    if words != gold and any(len(side) == 1 and side[0] in CLOSED for side in (words, gold)):
        return 0.0
    shared = (Counter(words) & Counter(gold)).total()
    return 2 * shared / (len(words) + len(gold)) if shared else 0.0
