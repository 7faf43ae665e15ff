"""Align a claimed quote with the source when it is not there word for word.

Small insertions, deletions and typing errors are forgiven; a number, name, negation or quantity is not (see
:func:`rereader.tools.quote_tokens.is_hard`), on either side. Candidate places come from votes of the claim's rarest
words, each is aligned by longest common subsequence (rapidfuzz), so the work is bounded whatever the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rapidfuzz.distance import OSA, LCSseq

from rereader.tools.quote_tokens import POLAR_WORDS, Tokens, without_accents

SIMILARITY = 0.8
"""Least share of tokens that claim and source slice have in common."""

_LEAST_TOKENS = 3
_MOST_TOKENS = 512
_CANDIDATES = 16
_VOTES = 20_000
_TYPO_LENGTH = 4
_TYPO_COST = 0.5
_JOINING = frozenset({"and", "but", "so", "then", "that", "the", "a", "an", "for", "or", "as"})


@dataclass(frozen=True)
class _Block:
    """``size`` equal tokens at ``claim`` and ``source``."""

    claim: int
    source: int
    size: int


@dataclass(frozen=True)
class Alignment:
    """The source tokens ``[start, end)`` that a claim stands for, and how similar they are (0 to 1)."""

    start: int
    end: int
    similarity: float


def align(claim: Tokens, source: Tokens, low: int = 0, high: int | None = None) -> Alignment | None:
    """The best place for ``claim`` among the source tokens ``[low, high)``, the earliest of equals.

    Returns:
        ``None`` when nothing is similar enough or a hard token differs.
    """
    high = len(source) if high is None else high
    if not _LEAST_TOKENS <= len(claim) <= _MOST_TOKENS:
        return None
    best: Alignment | None = None
    for start, end in _candidates(claim, source, low, high):
        found = _align_region(claim, source, start, end)
        if found and (best is None or (found.similarity, -found.start) > (best.similarity, -best.start)):
            best = found
    return best


def _candidates(claim: Tokens, source: Tokens, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Regions that share the most words with the claim in about its order, most promising first."""
    size = len(claim)
    width, slack = max(4, size // 4), max(3, size // 4)
    votes = _votes(claim, source, low, high, width)
    for bucket, _ in sorted(votes.items(), key=lambda item: (-item[1], item[0]))[:_CANDIDATES]:
        start = bucket * width - slack
        yield max(low, start), min(high, start + 2 * slack + 2 * width + size)


def _votes(claim: Tokens, source: Tokens, low: int, high: int, width: int) -> Counter[int]:
    """Votes for diagonals (source number less claim number), in overlapping buckets of ``width``; rare words first.

    Votes are bounded: of words that occur too often, only the first places count.
    """
    numbers: dict[str, list[int]] = {}
    for number, norm in enumerate(claim.norms):
        numbers.setdefault(norm, []).append(number)
    places = {norm: _between(source.places.get(norm, []), low, high) for norm in numbers}
    votes: Counter[int] = Counter()
    left = _VOTES
    for norm in sorted(numbers, key=lambda norm: len(places[norm])):
        affordable = places[norm][: left // len(numbers[norm])]
        left -= len(affordable) * len(numbers[norm])
        for place in affordable:
            for number in numbers[norm]:
                bucket = (place - number) // width
                votes[bucket] += 1
                votes[bucket - 1] += 1
    return votes


def _between(places: list[int], low: int, high: int) -> list[int]:
    return places[bisect_left(places, low) : bisect_left(places, high)]


def _align_region(claim: Tokens, source: Tokens, start: int, end: int) -> Alignment | None:
    wanted, typos = _mend(claim, source, start, end)
    if wanted is None:
        return None
    region = source.norms[start:end]
    blocks = _slide(_blocks(wanted, region), wanted, region)
    if not blocks:
        return None
    same = sum(block.size for block in blocks)
    joined = _joined(claim, source, blocks, start)
    if joined is None or not _edges_are_soft(claim, blocks):
        return None
    first, last = blocks[0].source, blocks[-1].source + blocks[-1].size
    similarity = (2 * same + joined - 2 * _TYPO_COST * typos) / (len(claim) + last - first)
    if similarity < SIMILARITY:
        return None
    return Alignment(start + first, start + last, similarity)


def _mend(claim: Tokens, source: Tokens, start: int, end: int) -> tuple[list[str] | None, int]:
    """The claim's tokens with typing errors replaced by the region's own words, and how many; ``None`` if too many."""
    present = set(source.norms[start:end])
    missing = [number for number, norm in enumerate(claim.norms) if norm not in present]
    if len(missing) > max(2, (1 - SIMILARITY) * 2 * len(claim)):
        return None, 0
    wanted, typos = list(claim.norms), 0
    for number in missing:
        for place in range(start, end):
            if _same_but_for_a_typo(claim, number, source, place):
                wanted[number] = source.norms[place]
                typos += 1
                break
    return wanted, typos


def _same_but_for_a_typo(claim: Tokens, number: int, source: Tokens, place: int) -> bool:
    """One edit in a word of four letters or more, not in its first letter; or accents left out by the claim.

    The first letter is kept because prefixes turn a word round (*legal*, *illegal*; *male*, *female*).
    """
    ours, theirs = claim.norms[number], source.norms[place]
    if ours.isascii() and not theirs.isascii() and without_accents(theirs) == ours:
        return True
    if ours[0] != theirs[0] or min(len(ours), len(theirs)) < _TYPO_LENGTH or abs(len(ours) - len(theirs)) > 1:
        return False
    if claim.is_hard(number) or source.is_hard(place):
        return False
    return OSA.distance(ours, theirs, score_cutoff=1) <= 1


def _blocks(wanted: Sequence[str], region: Sequence[str]) -> list[_Block]:
    opcodes = LCSseq.opcodes(wanted, region)
    return [_Block(op.src_start, op.dest_start, op.src_end - op.src_start) for op in opcodes if op.tag == "equal"]


def _slide(blocks: list[_Block], wanted: Sequence[str], region: Sequence[str]) -> list[_Block]:
    """Move the outer blocks inwards where the same words stand nearer, so that the slice is no longer than needed."""
    if len(blocks) < 2:
        return blocks
    first, second = blocks[0], blocks[1]
    near = second.source - first.size
    if near > first.source and region[near : second.source] == wanted[first.claim : first.claim + first.size]:
        first = _Block(first.claim, near, first.size)
    last, former = blocks[-1], blocks[-2] if len(blocks) > 2 else first
    near = former.source + former.size
    if near < last.source and region[near : near + last.size] == wanted[last.claim : last.claim + last.size]:
        last = _Block(last.claim, near, last.size)
    return [first, *blocks[1:-1], last]


def _joined(claim: Tokens, source: Tokens, blocks: list[_Block], start: int) -> int | None:
    """How many tokens (of both sides) differ only by where words are cut; ``None`` if a gap must not be."""
    joined = 0
    for left, right in pairwise(blocks):
        ours = range(left.claim + left.size, right.claim)
        theirs = range(start + left.source + left.size, start + right.source)
        if ours and theirs:
            if not _cut_differently([claim.norms[n] for n in ours], [source.norms[n] for n in theirs]):
                return None
            joined += len(ours) + len(theirs)
        elif any(claim.is_hard(n) for n in ours) or any(source.is_hard(n) for n in theirs):
            return None
    return joined


def _cut_differently(ours: list[str], theirs: list[str]) -> bool:
    """Whether two runs are the same letters cut into words otherwise (``to-day``, ``today``), and no more than that."""
    if any(word in POLAR_WORDS or not word.isalpha() for word in (*ours, *theirs)):
        return False
    return "".join(ours) == "".join(theirs)


def _edges_are_soft(claim: Tokens, blocks: list[_Block]) -> bool:
    """Whether what the claim has before and after the slice is nothing but joining words."""
    last = blocks[-1]
    edges = [*range(blocks[0].claim), *range(last.claim + last.size, len(claim))]
    return all(claim.norms[n] in _JOINING for n in edges)
