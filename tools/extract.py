"""Extractive gists: which sentences of a chunk to keep, without any model call.

*central* follows LexRank (Erkan and Radev 2004) in its continuous form: a sentence matters as much as the sentences
that resemble it. *coverage* follows the concept view of Gillick and Favre (2009), solved greedily: keep the sentences
that together hold the most weight of different words. *informative* begins with the most central sentence and goes on
by coverage with names, numbers and rare words weighed up, since these are what questions ask for.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rereader.tools.words import STOP_WORDS, content_words, raw_words

Method = Literal["central", "coverage", "informative"]
Weights = dict[str, float]

_DAMPING = 0.15
_ROUNDS = 30
_TOLERANCE = 1e-4
_LEAST_CONTENT = 3
_SENTENCE_COST = 3
_NAME_BOOST = 2.0
_NUMBER_BOOST = 2.0
_RARITY_POWER = 1.5


@dataclass(frozen=True)
class _Sentences:
    """Per sentence: content words with their counts, length in words; and the names found in all of them."""

    counts: list[Counter[str]]
    lengths: list[int]
    names: frozenset[str]


def document_frequencies(texts: Iterable[str]) -> tuple[dict[str, int], int]:
    """In how many of ``texts`` each content word occurs, and how many texts there are."""
    frequencies: Counter[str] = Counter()
    total = 0
    for text in texts:
        frequencies.update(set(content_words(text)))
        total += 1
    return dict(frequencies), total


def central_sentences(
    text: str,
    sentences: Sequence[tuple[int, int]],
    *,
    budget_words: int,
    method: Method,
    document_frequency: Mapping[str, int],
    total: int,
) -> list[int]:
    """Numbers of the sentences to keep, ascending.

    Args:
        text: The text that the offsets refer to.
        sentences: Half-open offsets of the candidate sentences (of one chunk).
        budget_words: Most words to keep.
        method: How to choose; see the module's description.
        document_frequency: In how many texts (chunks) each word occurs; see :func:`document_frequencies`.
        total: How many texts those are.

    Returns:
        Sentences that fit the budget together. When not even the best one fits, that one alone, so that a gist is
        never empty; an empty list when no sentence holds a word.
    """
    kept = _read(text, sentences)
    if not any(kept.lengths):
        return []
    weights = _idf(kept, document_frequency, total)
    if method == "coverage":
        return _cover(kept, weights, budget_words, [])
    scores = _centrality(kept, weights)
    ranked = sorted(range(len(scores)), key=lambda number: (-scores[number], number))
    if method == "central":
        return _fill(kept, ranked, budget_words)
    first = [number for number in ranked if 0 < kept.lengths[number] <= budget_words][:1] or ranked[:1]
    return _cover(kept, _boosted(kept, weights), budget_words, first)


def _read(text: str, sentences: Sequence[tuple[int, int]]) -> _Sentences:
    counts, lengths = [], []
    names: set[str] = set()
    for start, end in sentences:
        raw = raw_words(text[start:end])
        counts.append(Counter([word for word in map(str.lower, raw) if word not in STOP_WORDS]))
        lengths.append(len(raw))
        names.update([word.lower() for word in raw[1:] if word[0].isupper()])
    return _Sentences(counts, lengths, frozenset(names - STOP_WORDS))


def _idf(kept: _Sentences, document_frequency: Mapping[str, int], total: int) -> Weights:
    """Smoothed inverse document frequency of every word, at least 1."""
    words = set().union(*kept.counts)
    return {word: 1 + math.log((1 + total) / (1 + min(document_frequency.get(word, 0), total))) for word in words}


def _boosted(kept: _Sentences, weights: Weights) -> Weights:
    """Weights in which rare words, names and numbers count more."""
    boosted = {word: weight**_RARITY_POWER for word, weight in weights.items()}
    for word in boosted:
        if word in kept.names:
            boosted[word] *= _NAME_BOOST
        if any(map(str.isdigit, word)):
            boosted[word] *= _NUMBER_BOOST
    return boosted


def _centrality(kept: _Sentences, weights: Weights) -> NDArray[np.float64]:
    """Stationary probabilities of a walk between sentences that resemble each other: float64 [sentences].

    The similarity matrix X Xᵀ is never formed: each step multiplies by the sparse X and Xᵀ, so the cost is linear.
    """
    size = len(kept.counts)
    column = {word: number for number, word in enumerate(weights)}
    rows = np.repeat(np.arange(size), [len(counts) for counts in kept.counts])
    columns = np.array([column[word] for counts in kept.counts for word in counts], dtype=np.int64)
    values = np.array([n * weights[word] for counts in kept.counts for word, n in counts.items()], dtype=np.float64)
    norms = np.sqrt(np.bincount(rows, values * values, minlength=size))
    values /= norms[rows]

    def spread(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        concepts = np.bincount(columns, values * scores[rows], minlength=len(column))
        return np.bincount(rows, values * concepts[columns], minlength=size).astype(np.float64)

    degree = spread(np.ones(size))
    degree[degree == 0] = 1.0
    scores = np.full(size, 1 / size)
    for _ in range(_ROUNDS):
        new = _DAMPING / size + (1 - _DAMPING) * spread(scores / degree)
        if np.abs(new - scores).sum() < _TOLERANCE:
            break
        scores = new
    return scores


def _fill(kept: _Sentences, ranked: Sequence[int], budget_words: int) -> list[int]:
    """The best-ranked sentences that fit, no wording twice; fragments only when there is nothing else."""
    ranked = [number for number in ranked if len(kept.counts[number]) >= _LEAST_CONTENT] or ranked
    chosen: list[int] = []
    seen: set[frozenset[str]] = set()
    left = budget_words
    for number in ranked:
        wording = frozenset(kept.counts[number])
        if 0 < kept.lengths[number] <= left and wording and wording not in seen:
            chosen.append(number)
            seen.add(wording)
            left -= kept.lengths[number]
    return sorted(chosen or ranked[:1])


def _cover(kept: _Sentences, weights: Weights, budget_words: int, first: list[int]) -> list[int]:
    """Greedy choice by weight of new words per word, after ``first``.

    A sentence's gain only shrinks as others are chosen, so an old gain is an upper bound and the queue is re-ordered
    lazily (the usual way for submodular gains).
    """
    chosen = list(first)
    covered = {word for number in first for word in kept.counts[number]}
    left = budget_words - sum(kept.lengths[number] for number in first)
    queue = [(-_gain(kept, number, weights, covered), number) for number in range(len(kept.counts))]
    heapq.heapify(queue)
    while queue and left > 0:
        _, number = heapq.heappop(queue)
        gain = _gain(kept, number, weights, covered)
        if gain <= 0 or not 0 < kept.lengths[number] <= left:
            continue
        if queue and gain < -queue[0][0]:
            heapq.heappush(queue, (-gain, number))
            continue
        chosen.append(number)
        covered.update(kept.counts[number])
        left -= kept.lengths[number]
    if chosen:
        return sorted(chosen)
    return [max(range(len(kept.counts)), key=lambda number: _gain(kept, number, weights, covered))]


def _gain(kept: _Sentences, number: int, weights: Weights, covered: set[str]) -> float:
    """Weight of the words that a sentence adds, per word of its length; a fixed cost keeps fragments out."""
    new = sum(weights[word] for word in kept.counts[number] if word not in covered)
    return new / (kept.lengths[number] + _SENTENCE_COST)
