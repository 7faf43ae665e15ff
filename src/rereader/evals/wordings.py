"""Compares an answer's words with the accepted answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rereader.evals.items import Expects
from rereader.tools.wording import holds, normalise
from rereader.tools.words import word_limit

CLOSED = frozenset({"yes", "no"})


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


def _f1(words: Sequence[str], gold: Sequence[str]) -> float:
    if words != gold and any(len(side) == 1 and side[0] in CLOSED for side in (words, gold)):
        return 0.0
    shared = (Counter(words) & Counter(gold)).total()
    return 2 * shared / (len(words) + len(gold)) if shared else 0.0
