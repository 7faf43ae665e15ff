"""Which tokens chunks are measured in: those of the reader, or tiktoken's when the reader has no tokenizer here."""

from __future__ import annotations

from pathlib import Path

from rereader.models.tokens import TokenCounter, folder_counter, tiktoken_counter


def counter_of(folder: Path | None) -> TokenCounter:
    """The counter of a model folder, from its ``tokenizer.json`` alone (weights stay unloaded)."""
    return (folder_counter(folder) if folder else None) or tiktoken_counter()
