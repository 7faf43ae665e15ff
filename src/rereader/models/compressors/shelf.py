"""Finds compressors by name."""

from __future__ import annotations

from pathlib import Path

from rereader.models.compressors.at_random import AtRandom
from rereader.models.compressors.base import Compressor
from rereader.models.compressors.expected_attention import ExpectedAttention
from rereader.models.compressors.keep_all import KeepAll
from rereader.models.compressors.key_norm import KeyNorm
from rereader.models.compressors.recent import Recent
from rereader.models.compressors.reconstruction import Reconstruction
from rereader.models.compressors.scored import ScoredCompressor, Scorer
from rereader.models.compressors.window_attention import WindowAttention
from rereader.models.kvmemory import RULES, Compression
from rereader.schema.errors import InputError

SCORERS: dict[str, type[Scorer]] = {
    kind.name: kind for kind in (KeepAll, Recent, AtRandom, KeyNorm, WindowAttention, ExpectedAttention, Reconstruction)
}
MOST_RATIO = 16


class Shelf:
    """Compressors by name; trained ones are loaded when they are first needed, and again when they change."""

    def __init__(self) -> None:
        self._trained: dict[tuple[Path, int], Compressor] = {}

    def find(self, how: Compression) -> Compressor:
        """The compressor that a text is to be compressed with.

        Raises:
            InputError: If it does not exist, a setting is out of range, or it cannot do what is set.
        """
        if not 1 <= how.ratio <= MOST_RATIO:
            raise InputError(f"A ratio of {how.ratio} is not from 1 to {MOST_RATIO}.", "A ratio of 4 is usual.")
        if how.budgets not in ("even", "heads"):
            raise InputError(f"There are no budgets {how.budgets!r}.", "Use even or heads.")
        known = SCORERS.get(how.scorer)
        compressor = self._load(Path(how.scorer)) if known is None else ScoredCompressor(known)
        compressor.check(how)
        return compressor

    def _load(self, path: Path) -> Compressor:
        if not path.exists():
            msg = f"There is no scorer {path}."
            raise InputError(msg, f"Use one of {', '.join(RULES)}, or the path of a trained compressor.")
        from rereader.models.learned import LearnedCompressor

        key = (path.resolve(), path.stat().st_mtime_ns)
        if key not in self._trained:
            self._trained = {key: LearnedCompressor.load(path)}
        return self._trained[key]
