"""Gathers what the trained gate decides from: vectors and words of all memories of a run's documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import numpy as np

from rereader.agents.gates import Asked
from rereader.agents.searcher import ChunkKey, Target, hop
from rereader.models.gatefeatures import GateInputs, Units, Words
from rereader.schema import Record
from rereader.tools.words import content_words

Frequency = Callable[[str], tuple[int, int]]
_CHUNKS_AT_ONCE = 500


def all_chunks(targets: Sequence[Target]) -> list[ChunkKey]:
    """Every chunk of the documents, in order."""
    return [(target.position, ordinal) for target in targets for ordinal in range(target.chunking.chunks)]


def gate_inputs(asked: Asked) -> GateInputs:
    """What features of all chunks are made of, in the order of :func:`all_chunks`; vectors are read part by part."""
    embed, known = asked.context.embed, [record.content for record in asked.known]
    question = embed.embed([asked.question], kind="query")[0]
    frequency = cache(partial(_frequency, asked))
    words = list(dict.fromkeys(content_words(asked.question)))
    held = {word for text in known for word in content_words(text)}
    return GateInputs(
        memories=sum(target.chunking.chunks for target in asked.targets),
        question=question,
        known=embed.embed(known) if known else np.zeros((0, len(question)), dtype=np.float32),
        units=_units(asked, len(question)),
        words=_words(asked, words, (), frequency),
        fresh=np.array([word not in held for word in words], dtype=np.bool_),
        leads=tuple(_lead(asked, record, frequency) for record in asked.known),
    )


def _units(asked: Asked, dimension: int) -> Iterator[Units]:
    """Vectors of all memories' units, some chunks at a time."""
    for target in asked.targets:
        for start in range(0, target.chunking.chunks, _CHUNKS_AT_ONCE):
            chunks = range(start, min(start + _CHUNKS_AT_ONCE, target.chunking.chunks))
            units, matrix = asked.context.library.vectors.of_chunks(target.vectors, chunks)
            owner = np.array([unit.chunk - start for unit in units], dtype=np.int64)
            yield Units(len(chunks), matrix if units else np.zeros((0, dimension), np.float32), owner)


def _lead(asked: Asked, record: Record, frequency: Frequency) -> Words:
    """The words of a record that lead on, and the passages that hold them, without the record's own."""
    query = hop(record.content, asked.question, 1.0, lambda word: frequency(word)[0])
    return _words(asked, query.words, asked.known, frequency)


def _words(asked: Asked, words: Sequence[str], without: Sequence[Record], frequency: Frequency) -> Words:
    """Which passages hold which words, but for those that hold one of some records."""
    if not words:
        return Words.none()
    spans = [span for record in without for span in record.spans]
    rows: dict[int, int] = {}
    places: list[tuple[int, int]] = []
    chunk: list[int] = []
    first = 0
    for target in asked.targets:
        mine = [span for span in spans if span.document_id == target.chunking.document_id]
        for column, word in enumerate(words):
            for identity, ordinal, start, end in asked.context.library.fulltext.holding(target.chunking.id, word):
                if any(start <= span.start and span.end <= end for span in mine):
                    continue
                if identity not in rows:
                    rows[identity] = len(rows)
                    chunk.append(first + ordinal)
                places.append((rows[identity], column))
        first += target.chunking.chunks
    held = np.zeros((len(rows), len(words)), dtype=np.bool_)
    if places:
        held[tuple(np.array(places).T)] = True
    rarity = np.array([asked.context.library.fulltext.rarity(*frequency(word)) for word in words])
    return Words(held, np.array(chunk, dtype=np.int64), rarity)


def _frequency(asked: Asked, word: str) -> tuple[int, int]:
    """In how many passages of all documents a word stands, and how many passages there are."""
    found = [asked.context.library.fulltext.frequency(target.chunking.id, word) for target in asked.targets]
    return sum(held for held, _ in found), sum(total for _, total in found)
