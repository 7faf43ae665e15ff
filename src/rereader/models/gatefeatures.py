"""Features of the trained gate: cheap numbers of a question, a working memory and every memory of a text.

They are made of vectors that are stored already and of words that are counted, so gating costs no model call but the
embedding of the question. Beside each value stands how it compares with the text's other memories: a question that
resembles everything tells little by resembling one more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rereader.models.base import Float32Array

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_DENSE = (
    "cosine",
    "second cosine",
    "mean cosine",
    "cosine of the mean",
    "cosine with what is known",
    "cosine with what is not known",
    "cosine with both",
)
_VALUES = (
    *_DENSE,
    "coverage by a passage",
    "coverage by the chunk",
    "coverage of what is not known",
    "rarest word",
    "coverage of a lead",
)
_ALONE = {"second cosine", "mean cosine", "cosine with what is known"}
_COMPARED = tuple(name for name in _VALUES if name not in _ALONE)
FEATURES = (
    *_VALUES,
    *(f"{name}, below the best" for name in _COMPARED),
    *(f"{name}, standardised" for name in _COMPARED),
    "rank by cosine",
    "rank by coverage",
    "something is known",
    "memories",
)
"""Names of the columns; a head that was trained on others cannot be used."""


@dataclass(frozen=True)
class Words:
    """Which passages hold which words.

    Args:
        held: bool [passages, words]; passages that hold none may be left out.
        chunk: The memory that each passage belongs to: int64 [passages].
        rarity: What each word weighs: float64 [words].
    """

    held: NDArray[np.bool_]
    chunk: Ints
    rarity: Floats

    @classmethod
    def none(cls) -> Words:
        """No words."""
        return cls(np.zeros((0, 0), dtype=np.bool_), np.zeros(0, dtype=np.int64), np.zeros(0))

    def by_passage(self, memories: int) -> Floats:
        """Share of the words' weight that each memory's best passage holds: float64 [memories]."""
        return _best(self.held @ self.rarity, self.chunk, memories) / max(1e-9, float(self.rarity.sum()))

    def in_chunks(self, memories: int) -> NDArray[np.bool_]:
        """Which words the passages of each memory hold together: bool [memories, words]."""
        found = np.zeros((memories, len(self.rarity)), dtype=np.bool_)
        passages, words = np.nonzero(self.held)
        found[self.chunk[passages], words] = True
        return found


@dataclass(frozen=True)
class Units:
    """Vectors of the sentences of some memories that follow one another.

    Args:
        memories: How many memories.
        vectors: float32 [units, d].
        owner: Which of these memories each belongs to, the first one being 0: int64 [units].
    """

    memories: int
    vectors: Float32Array
    owner: Ints


@dataclass(frozen=True)
class GateInputs:
    """What features are made of, for all memories of a run's documents.

    Args:
        memories: How many there are.
        question: The question's vector: float32 [d].
        known: Vectors of what the working memory holds: float32 [k, d].
        units: The vectors of all memories, part by part in order; they are looked at once, and never all together.
        words: The question's words.
        fresh: Which of them the working memory does not hold: bool [words].
        leads: The rarest new words of each record of the working memory.
    """

    memories: int
    question: Float32Array
    known: Float32Array
    units: Iterable[Units]
    words: Words
    fresh: NDArray[np.bool_]
    leads: tuple[Words, ...] = ()


def features(inputs: GateInputs) -> Float32Array:
    """The features of every memory: float32 [memories, len(FEATURES)]."""
    n = inputs.memories
    values = {**_dense(inputs), **_lexical(inputs)}
    columns = [values[name] for name in _VALUES]
    columns += [values[name] - values[name].max(initial=-1e9) for name in _COMPARED]
    columns += [_standardised(values[name]) for name in _COMPARED]
    columns += [_ranks(values["cosine"]), _ranks(values["coverage by the chunk"])]
    columns += [np.full(n, float(len(inputs.known) > 0)), np.full(n, np.log1p(n))]
    return np.stack(columns, axis=1).astype(np.float32)


def _dense(inputs: GateInputs) -> dict[str, Floats]:
    parts = [_dense_part(inputs, units) for units in inputs.units]
    return {name: np.concatenate([np.zeros(0), *(part[name] for part in parts)]) for name in _DENSE}


def _dense_part(inputs: GateInputs, units: Units) -> dict[str, Floats]:
    n, owner, vectors = units.memories, units.owner, units.vectors
    cosines = (vectors @ inputs.question).astype(np.float64)
    first = _best(cosines, owner, n)
    means = _sums(vectors, owner, n)
    count = np.maximum(1, np.bincount(owner, minlength=n))
    mean_cosine = np.bincount(owner, cosines, n) / count
    known, rest, both = first * 0.0, first, first
    if len(inputs.known):
        known = _best((vectors @ inputs.known.T).max(axis=1), owner, n)
        middle = _unit(inputs.known.mean(axis=0))
        rest = _best(vectors @ _unit(inputs.question - (inputs.question @ middle) * middle), owner, n)
        both = _best(vectors @ _unit(inputs.question + middle), owner, n)
    return {
        "cosine": first,
        "second cosine": _best(np.where(cosines >= first[owner], -np.inf, cosines), owner, n),
        "mean cosine": mean_cosine,
        "cosine of the mean": means @ inputs.question / np.maximum(1e-9, np.linalg.norm(means, axis=1)),
        "cosine with what is known": known,
        "cosine with what is not known": rest,
        "cosine with both": both,
    }


def _lexical(inputs: GateInputs) -> dict[str, Floats]:
    n, rarity, fresh = inputs.memories, inputs.words.rarity, inputs.fresh
    held = inputs.words.in_chunks(n)
    leads = [lead.by_passage(n) for lead in inputs.leads]
    return {
        "coverage by a passage": inputs.words.by_passage(n),
        "coverage by the chunk": _covered(held, rarity),
        "coverage of what is not known": _covered(held[:, fresh], rarity[fresh]),
        "rarest word": (held * rarity).max(axis=1, initial=0.0) / max(1e-9, float(rarity.max(initial=0.0))),
        "coverage of a lead": np.max(leads, axis=0) if leads else np.zeros(n),
    }


def _covered(held: NDArray[np.bool_], rarity: Floats) -> Floats:
    """Share of the words' weight that each memory holds: float64 [memories]."""
    shares: Floats = held @ rarity
    return shares / max(1e-9, float(rarity.sum()))


def _best(values: NDArray[np.floating], owner: Ints, count: int) -> Floats:
    """The greatest value of each owner, 0 for one without: float64 [count]."""
    found = np.full(count, -np.inf)
    np.maximum.at(found, owner, values)
    return np.where(np.isfinite(found), found, 0.0)


def _sums(units: Float32Array, owner: Ints, count: int) -> Float32Array:
    """The sum of each owner's vectors: float32 [count, d]."""
    found = np.zeros((count, units.shape[1]), dtype=np.float32)
    if len(owner):
        order = np.argsort(owner, kind="stable")
        owners, starts = np.unique(owner[order], return_index=True)
        found[owners] = np.add.reduceat(units[order], starts, axis=0)
    return found


def _standardised(values: Floats) -> Floats:
    spread = float(values.std()) if len(values) else 0.0
    return (values - values.mean()) / spread if spread > 1e-9 else values * 0.0


def _ranks(values: Floats) -> Floats:
    """Logarithm of each value's rank from the top; equal values share the best one."""
    order = np.sort(-values)
    return np.log1p(np.searchsorted(order, -values, side="left"))


def _unit(vector: Float32Array) -> Float32Array:
    return vector / max(1e-9, float(np.linalg.norm(vector)))
