"""Tiny random models for llama.cpp, and prompts for them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import tiny_gguf

from rereader.models.base import Prompt, Segment
from rereader.models.convert import convert_tokenizer


def make(folder: Path, architecture: str = "qwen2") -> dict[str, Any]:
    """Write a tiny random GGUF file with its tokenizer; returns its weights."""
    weights = tiny_gguf.random_weights(architecture, np.random.default_rng())
    tiny_gguf.write_gguf(folder / "tiny.gguf", architecture, weights)
    convert_tokenizer(folder / "tiny.gguf", folder)
    return weights


def asked(rng: random.Random, length: int) -> Prompt:
    text = "".join(rng.choice("abcdefghij lmnop. <|\u00e9\u4f60") for _ in range(length))
    return (Segment("user", text, trusted=False),)


def some(seed: object, count: int = 6) -> list[Prompt]:
    rng = random.Random(str(seed))
    return [asked(rng, rng.randrange(1, 20)) for _ in range(count)]
