"""An embedder without a model: feature hashing of words and character 4-grams."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rereader.models.base import Cancel, Embedder, Float32Array, TextKind
from rereader.models.windows import cut_windows
from rereader.schema.errors import InputError, Interrupted

_WORD = re.compile(r"\w+")
_GRAM = 4
_GRAM_WEIGHT = 0.5
_VERSION = 1


class HashingEmbedder(Embedder):
    """Texts that share words or parts of words lie near each other; meaning is not looked at.

    The fallback when no embedding model is installed, and a fast, deterministic stand-in for tests. Each lower-cased
    word, and at half weight each character 4-gram of words of at least four letters, adds ``1 + ln(count)`` with a
    hashed sign to a hashed coordinate (Weinberger et al., arXiv:0902.2206); the vector is then scaled to unit length.

    Args:
        dimension: Length of the vectors.
        window: Longest text in words.
    """

    def __init__(self, dimension: int = 512, window: int = 256) -> None:
        if dimension < 1 or window < 1:
            raise InputError("An embedder needs at least one dimension and a window of one word.")
        self.name = "hashing"
        self.dimension = dimension
        self.window = window
        identity = f"hashing {_VERSION} {dimension} {window}"
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()

    def windows(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Cut each text into pieces of at most ``window`` words; see :class:`Embedder`."""
        return [cut_windows(text, [found.span() for found in _WORD.finditer(text)], self.window) for text in texts]

    def embed(self, texts: Sequence[str], cancel: Cancel | None = None, kind: TextKind = "passage") -> Float32Array:
        """Unit vectors, float32 [n, dimension].

        Raises:
            InputError: If a text has more words than the window.
            Interrupted: If ``cancel`` is set.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if cancel is not None and cancel.is_set():
                raise Interrupted("Embedding was stopped.", "Run it again to go on.")
            vectors[row] = self._vector(text)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(_WORD.findall(text)) for text in texts]

    def _vector(self, text: str) -> NDArray[np.float64]:
        words = _WORD.findall(text.lower())
        if len(_WORD.findall(text)) > self.window:
            msg = f"A text of {len(words):,} words is longer than the embedder's window of {self.window:,}."
            raise InputError(msg, "Cut it with windows() first.")
        counts = _features(words)
        hashes = _mix(np.fromiter(counts.keys(), dtype=np.uint64, count=len(counts)))
        tally = np.array(list(counts.values()), dtype=np.float64).T
        weights = tally[1] * (1.0 + np.log(tally[0])) * np.where(hashes >> np.uint64(63), 1.0, -1.0)
        places = (hashes % np.uint64(self.dimension)).astype(np.int64)
        vector = np.bincount(places, weights=weights, minlength=self.dimension)
        norm = float(np.linalg.norm(vector))
        if norm == 0.0:  # no features left after signs cancelled out
            vector[places[0]] = norm = 1.0
        return vector / norm


def _features(words: Sequence[str]) -> dict[int, tuple[int, float]]:
    """Map each feature's hash to its count and weight; a text without a word has one feature of its own."""
    found: dict[int, tuple[int, float]] = {}
    for word, count in Counter(words or [""]).items():
        _add(found, "w" + word, count, 1.0)
        if len(word) >= _GRAM:
            marked = f"<{word}>"
            for start in range(len(marked) - _GRAM + 1):
                _add(found, "g" + marked[start : start + _GRAM], count, _GRAM_WEIGHT)
    return found


def _add(found: dict[int, tuple[int, float]], feature: str, count: int, weight: float) -> None:
    key = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
    before = found.get(key, (0, weight))
    found[key] = (before[0] + count, weight)


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 32-bit checksums over 64 bits (the finaliser of SplitMix64), so that sign and place are independent."""
    keys = keys * np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
