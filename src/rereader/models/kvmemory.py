"""What everyone may know of compressed keys and values; how they look inside is the model's business."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

KVPrecision = Literal["exact", "bfloat16", "int8"]
Budgets = Literal["even", "heads"]
RULES = ("none", "recent", "random", "key-norm", "window-attention", "expected-attention", "reconstruction")
"""Names of the scorers that need no training (``rereader.models.compressors``)."""
MEMORY_TOKENS_FILE = "memory_tokens.safetensors"
"""What a trained compressor's folder holds."""
_KEEP_ALL = frozenset({"none"})
_READ_TWICE = frozenset({"reconstruction"})


def reading_factor(scorer: str) -> int:
    """How often a scorer, or a trained compressor, has its model read a text, about."""
    return 2 if scorer in _READ_TWICE else 1


class UnusableBlock(Exception):
    """A file of keys and values that cannot be used; the text says why."""


class KVMemory(Protocol):
    """A compressed stretch of text that one model can read in place of it.

    Made by :meth:`~rereader.models.base.LanguageModel.compress_kv`.
    """

    @property
    def digest(self) -> str:
        """Identifies the model, the text and the way it was compressed: sha256."""

    @property
    def name(self) -> str:
        """Identifies exactly what a model reads: the digest, and with how much precision it is held."""

    @property
    def model(self) -> str:
        """Fingerprint of the model that made it, and the only one that can read it."""

    @property
    def places(self) -> int:
        """Keys of its fullest head: what reading it counts as tokens."""

    @property
    def length(self) -> int:
        """Tokens of the text."""

    def save(self, path: Path, precision: KVPrecision) -> None:
        """Write it to a file, which :meth:`~rereader.models.base.LanguageModel.load_kv` reads.

        Raises:
            OSError: If the file cannot be written.
        """


@dataclass(frozen=True)
class Compression:
    """How a text is compressed to keys and values.

    Args:
        scorer: What decides which tokens' keys and values are kept (``rereader.models.compressors``), or a path of a
            trained compressor.
        ratio: Tokens of the text for each that is kept; 1 keeps all.
        budgets: ``even`` keeps as many in every head of a layer, ``heads`` shares a layer's places out by score.
    """

    scorer: str = "expected-attention"
    ratio: float = 4.0
    budgets: Budgets = "even"

    def normalised(self) -> Compression:
        """The same with ratio 1 and even budgets if everything is kept whatever they are, so that it has one name."""
        return replace(self, ratio=1.0, budgets="even") if self.scorer in _KEEP_ALL else self
