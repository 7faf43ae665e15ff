"""A tiny model with a compressor, and what it is trained with."""

import random
from pathlib import Path

import torch

from rereader.models.memory_passes import Passes
from rereader.models.memory_tokens import MemoryTokens
from rereader.models.tiny import tiny_model
from rereader.training.compressor_base import Base
from rereader.training.compressor_settings import CompressorSettings, make_settings

PEOPLE = ("Anna", "Ben", "Clara", "David")


def base(family="llama", chat=True):
    model, tokenizer = tiny_model(family, chat=chat)
    return Base.of(model, tokenizer, f"tiny-{family}")


def passes(family="llama", layout="beside", spaced=True, **tokens):
    """Forward passes of a frozen tiny model, and new memory tokens."""
    model, _ = tiny_model(family)
    model.requires_grad_(False)
    return Passes(model, layout, spaced=spaced), MemoryTokens(model, **tokens)


def ids(count, seed=0, rows=1):
    return torch.randint(0, 250, (rows, count), generator=torch.Generator().manual_seed(seed))


def write_text(path: Path, sentences=400) -> Path:
    draws = random.Random(0)
    path.write_text(" ".join(f"{draws.choice(PEOPLE)} went to the river and the tower." for _ in range(sentences)))
    return path


def settings(text: Path, steps=4, **changes) -> CompressorSettings:
    schedule = {"steps": steps, "learning_rate": 1e-2, "warm_up": 2, **changes.pop("schedule", {})}
    small = {"window": 16, "windows": 2, "continuation": 8, "ratios": (2, 4), "measured_ratios": (4,), "chunks": 2}
    values = {"model": "tiny", "texts": [text], "schedule": schedule, **small, "scorers": ("recent",), **changes}
    return make_settings(CompressorSettings, values)


def silent(_progress):
    """Nobody looks."""


def never():
    return False
