"""Which sentences are replayed, given what is looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from rereader.models.base import Float32Array


def published_choice(
    scores: Float32Array, owners: Sequence[int], texts: Sequence[str], held: Collection[str], count: int, reach: int
) -> list[int]:
    """Sentences of the highest tokens, as ReContext takes them (arXiv 2607.02509).

    A token whose sentence is held or taken already is replaced by the next one in rank.

    Args:
        scores: A score for each token: float32 [tokens].
        owners: The sentence that each token is in.
        texts: The sentences.
        held: Sentences that were taken in earlier rounds; white space does not tell them apart.
        count: Sentences to take.
        reach: Rank of the last token that is looked at.

    Returns:
        Sentences by the rank of their token.
    """
    known = {plain(text) for text in held}
    taken: list[int] = []
    for token in np.argsort(-scores, kind="stable")[:reach]:
        sentence = owners[token]
        if len(taken) < count and plain(texts[sentence]) not in known:
            known.add(plain(texts[sentence]))
            taken.append(sentence)
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
        if sizes[place] <= room:
            taken.append(place)
            room -= sizes[place]
    return taken


def plain(text: str) -> str:
    """A sentence with every run of white space as one space."""
    return " ".join(text.split())
