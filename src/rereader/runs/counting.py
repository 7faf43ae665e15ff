"""Which tokens chunks are measured in: those of the reader, or tiktoken's when the reader has no tokenizer here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rereader.tools.tokens import TokenCounter, tiktoken_counter


def counter_of(folder: Path | None) -> TokenCounter:
    """The counter of a model folder, from its ``tokenizer.json`` alone (weights stay unloaded)."""
    path = folder / "tokenizer.json" if folder else None
    if path is None or not path.is_file():
        return tiktoken_counter()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True

    def count(texts: Sequence[str]) -> list[int]:
        return [len(e.ids) for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return TokenCounter(f"tokenizer-{digest}", exact=True, count=count)
