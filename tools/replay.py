"""Which sentences are replayed, given what is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from rereader.models.base import Float32Array


def published_choice(
    scores: Float32Array,
    owners: Sequence[int],
    texts: Sequence[str],
    held: Collection[str],
    count: int,
    *,
    replace: bool,
) -> list[int]:
    """Sentences of the highest tokens, as ReContext's code takes them (arXiv 2607.02509).

    Tokens among the highest whose sentence is held or taken already are wasted; as many of the next in rank replace
    them, once.

    Args:
        scores: A score for each token: float32 [tokens].
        owners: The sentence that each token is in.
        texts: The sentences.
        held: Sentences that were taken in earlier rounds; white space does not tell them apart.
        count: Tokens to take.
        replace: Whether wasted tokens are replaced; the code does so where there are several rounds.

    Returns:
        Sentences by the rank of their token.
    """
    known = {plain(text) for text in held}
    taken: list[int] = []

    def take(tokens: Iterable[int]) -> int:
        wasted = 0
        for token in tokens:
            sentence = owners[token]
            words = plain(texts[sentence])
            if not words or words in known:
                wasted += 1
            else:
                known.add(words)
                taken.append(sentence)
        return wasted

    order = np.argsort(-scores, kind="stable").tolist()
    wasted = take(order[:count])
    if replace:
        take(order[count : count + wasted])
    return taken


def leading(masses: Sequence[float], sizes: Sequence[int], held: Collection[int], room: int, share: float) -> list[int]:
    """The sentences with most attention, as many as stand out and fit.

    Args:
        masses: Attention to each sentence.
        sizes: Its words.
        held: Sentences that were taken before.
        room: Most words to take; a sentence that does not fit is passed over.
        share: A sentence stands out if it has this share of the attention of the best one.

    Returns:
        Sentences, best first.
    """
    order = sorted((place for place in range(len(masses)) if place not in held), key=lambda place: -masses[place])
    floor = share * max(masses, default=0.0)
    taken: list[int] = []
    for place in order:
        if masses[place] <= 0 or masses[place] < floor:
            break
        if 0 < sizes[place] <= room:
            taken.append(place)
            room -= sizes[place]
    return taken


def plain(text: str) -> str:
    """A sentence with every run of white space as one space."""
    return " ".join(text.split())
