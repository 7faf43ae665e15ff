"""Compressed paragraphs, made when they are first read and kept in files, so that no start makes them twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from rereader.models.base import LanguageModel
from rereader.models.kvmemory import Compression, KVMemory, KVPrecision, UnusableBlock
from rereader.prompts.loader import Piece
from rereader.prompts.openings import compressing, opening_digest

PRECISION: KVPrecision = "bfloat16"
"""As the graph stores blocks by default."""


class Blocks:
    """The blocks of texts.

    Args:
        model: Makes and reads them.
        folder: Where their files lie.
    """

    def __init__(self, model: LanguageModel, folder: Path) -> None:
        self.seconds = 0.0
        """What making blocks has taken."""
        self._model = model
        self._folder = folder
        self._held: dict[Path, KVMemory] = {}

    def of(self, texts: Sequence[str], how: Compression) -> tuple[KVMemory, ...]:
        """A block of each text as it comes from its file."""
        paths = [self._path(text, how) for text in texts]
        missing = {path: text for path, text in zip(paths, texts, strict=True) if not self._load(path)}
        if missing:
            started = time.perf_counter()
            prompts = [compressing(Piece(text)) for text in missing.values()]
            for path, block in zip(missing, self._model.compress_kv(prompts, how), strict=True):
                block.save(path, PRECISION)
                self._held[path] = self._model.load_kv(path)
            self.seconds += time.perf_counter() - started
        return tuple(self._held[path] for path in paths)

    def bytes_of(self, texts: Sequence[str], how: Compression) -> int:
        """Bytes of the files of some texts' blocks."""
        return sum(self._path(text, how).stat().st_size for text in texts)

    def _load(self, path: Path) -> bool:
        """Whether a block is there, loaded if it was not."""
        if path not in self._held:
            try:
                self._held[path] = self._model.load_kv(path)
            except (FileNotFoundError, UnusableBlock):
                return False
        return True

    def _path(self, text: str, how: Compression) -> Path:
        body = f"{self._model.fingerprint}\n{opening_digest()}\n{how}\n{PRECISION}\n{text}"
        return self._folder / f"{hashlib.sha256(body.encode()).hexdigest()}.kv"
