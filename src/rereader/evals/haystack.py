"""Builds a haystack of a wanted size and plants sentences into it. Seeded: the same generator gives the same bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rereader.evals.data import HINT, read_text
from rereader.models.tokens import TokenCounter
from rereader.schema.errors import InputError

# Not the sentence splitter of rereader.tools: haystacks must stay the same when that one is tuned, and needles must not
# stand just where the chunker under test likes to cut. A lower-case word before the full stop is no abbreviation.
SENTENCE_BREAK = re.compile(r"\b[a-z]{3,}[.!?][\"')\u2019\u201d]*\s+(?=[\"'(\u2018\u201c]?[A-Z])")


@dataclass(frozen=True)
class Haystack:
    """A text and, for each planted item, the spans ``[start, end)`` of its needles in their own order."""

    text: str
    planted: Mapping[str, tuple[tuple[int, int], ...]]


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text without the space between them; what follows the last break is left out."""
    start = 0
    for found in SENTENCE_BREAK.finditer(text):
        yield text[start : found.end()].strip()
        start = found.end()


def background(tiers: Sequence[Sequence[Path]], tokens: int, counter: TokenCounter, rng: Random) -> str:
    """Join paragraphs until the text has about ``tokens`` tokens; the last one is cut at the end of a word.

    The files of the first tier are used up before the second is touched. The order of a tier's files, and the
    paragraph that each file starts at, are drawn; the part before that paragraph follows at the file's end.

    Raises:
        InputError: If all files together are too short.
    """
    chosen: list[str] = []
    missing = tokens
    for paragraphs in _rotated(tiers, rng):
        for paragraph, count in zip(paragraphs, counter([f"{p}\n\n" for p in paragraphs]), strict=True):
            if missing <= 0:
                return "\n\n".join(chosen)
            chosen.append(_share(paragraph, missing / count) if count > missing else paragraph)
            missing -= count
    if not chosen and missing > 0:
        raise InputError("There are no background texts.", HINT)
    if missing > 0:
        msg = f"The background texts are {missing:,} tokens too short for a haystack of {tokens:,}."
        raise InputError(msg, "Lower `tokens` in the suite, or add texts to the data folder.")
    return "\n\n".join(chosen)


def plant(text: str, needles: Mapping[str, Sequence[str]], gap: int, rng: Random) -> Haystack:
    """Put every needle at the start of a random sentence.

    At least ``gap`` sentences lie between two needles. The needles of one item keep their order; between items every
    interleaving is equally likely.

    Raises:
        InputError: If the text has too few sentences.
    """
    order = [item for item, many in needles.items() for _ in many]
    rng.shuffle(order)
    starts = [match.end() for match in SENTENCE_BREAK.finditer(text)]
    places = _places(starts, len(order), gap, rng)
    waiting = {item: iter(many) for item, many in needles.items()}
    planted: dict[str, list[tuple[int, int]]] = {item: [] for item in needles}
    pieces: list[str] = []
    length = read = 0
    for item, place in zip(order, places, strict=True):
        needle = next(waiting[item])
        length += place - read
        planted[item].append((length, length + len(needle)))
        pieces += [text[read:place], needle, " "]
        length += len(needle) + 1
        read = place
    haystack = Haystack("".join([*pieces, text[read:]]), {item: tuple(spans) for item, spans in planted.items()})
    _check(haystack, needles)
    return haystack


def _share(paragraph: str, share: float) -> str:
    """The first words of a paragraph."""
    words = paragraph.split(" ")
    return " ".join(words[: math.ceil(share * len(words))])


def _rotated(tiers: Sequence[Sequence[Path]], rng: Random) -> Iterator[list[str]]:
    for files in tiers:
        for path in rng.sample(list(files), len(files)):
            paragraphs = [part.strip("\n") for part in read_text(path).split("\n\n") if part.strip()]
            start = rng.randrange(len(paragraphs))
            yield paragraphs[start:] + paragraphs[:start]


def _places(starts: Sequence[int], wanted: int, gap: int, rng: Random) -> list[int]:
    """Draw places that lie at least ``gap`` sentences apart, every such choice equally likely."""
    room = len(starts) - (wanted - 1) * (gap - 1)
    if room < wanted:
        msg = f"The background has too few sentences ({len(starts)}) for {wanted} needles with {gap} between them."
        raise InputError(msg, "Raise `tokens`, or lower `group` or `gap`, in the suite.")
    drawn = sorted(rng.sample(range(room), wanted))
    return [starts[index + number * (gap - 1)] for number, index in enumerate(drawn)]


def _check(haystack: Haystack, needles: Mapping[str, Sequence[str]]) -> None:
    for item, many in needles.items():
        found = tuple(haystack.text[start:end] for start, end in haystack.planted[item])
        if found != tuple(many):
            raise AssertionError(f"the needles of {item} do not stand where they were planted")
