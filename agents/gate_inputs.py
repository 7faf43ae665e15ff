"""Gathers what the trained gate decides from: vectors and words of all memories of a run's documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rereader.agents.gates import Asked
from rereader.agents.searcher import ChunkKey, Target, hop
from rereader.models.base import Float32Array
from rereader.models.gatefeatures import GateInputs, Ints, Words
from rereader.schema import Record
from rereader.tools.words import content_words

_CHUNKS_AT_ONCE = 500


def all_chunks(targets: Sequence[Target]) -> list[ChunkKey]:
    """Every chunk of the documents, in order."""
    return [(target.position, ordinal) for target in targets for ordinal in range(target.chunking.chunks)]


def gate_inputs(asked: Asked) -> GateInputs:
    """What features of all chunks are made of, in the order of :func:`all_chunks`."""
    embed, known = asked.context.embed, [record.content for record in asked.known]
    question = embed.embed([asked.question], kind="query")[0]
    units, owner = _units(asked)
    words = list(dict.fromkeys(content_words(asked.question)))
    held = {word for text in known for word in content_words(text)}
    return GateInputs(
        memories=sum(target.chunking.chunks for target in asked.targets),
        question=question,
        known=embed.embed(known) if known else np.zeros((0, len(question)), dtype=np.float32),
        units=units if len(owner) else np.zeros((0, len(question)), dtype=np.float32),
        owner=owner,
        words=_words(asked, words, ()),
        fresh=np.array([word not in held for word in words], dtype=np.bool_),
        leads=tuple(_lead(asked, record) for record in asked.known),
    )


def _units(asked: Asked) -> tuple[Float32Array, Ints]:
    """Vectors of all memories' units, and the number of the chunk that each belongs to."""
    parts: list[Float32Array] = []
    owners: list[int] = []
    first = 0
    for target in asked.targets:
        for start in range(0, target.chunking.chunks, _CHUNKS_AT_ONCE):
            chunks = range(start, min(start + _CHUNKS_AT_ONCE, target.chunking.chunks))
            units, matrix = asked.context.library.vectors.of_chunks(target.vectors, chunks)
            owners += [first + unit.chunk for unit in units]
            parts += [matrix] if units else []
        first += target.chunking.chunks
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32), np.array(owners, dtype=np.int64)


def _lead(asked: Asked, record: Record) -> Words:
    """The words of a record that lead on, and the passages that hold them, without the record's own."""
    query = hop(record.content, asked.question, 1.0, lambda word: _frequency(asked, word)[0])
    return _words(asked, query.words, asked.known)


def _words(asked: Asked, words: Sequence[str], without: Sequence[Record]) -> Words:
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
    rarity = np.array([asked.context.library.fulltext.rarity(*_frequency(asked, word)) for word in words])
    return Words(held, np.array(chunk, dtype=np.int64), rarity)


def _frequency(asked: Asked, word: str) -> tuple[int, int]:
    """In how many passages of all documents a word stands, and how many passages there are."""
    found = [asked.context.library.fulltext.frequency(target.chunking.id, word) for target in asked.targets]
    return sum(held for held, _ in found), sum(total for _, total in found)
