"""How fast a model is here: measured whole, reckoned from the one-layer probe, or guessed from its size."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rereader.models.base import Embedder, LanguageModel, Prompt, Sampling, Segment
from rereader.models.manifest import read_manifest
from rereader.models.measure import entries, store_entry
from rereader.models.runtimes import split_mark

Source = Literal["measured", "probe", "guess"]
CACHE = ".settings.json"
"""File in the models folder that holds what was measured on this machine."""
_TRIAL_TOKENS = 48
_READ_TOKENS = 400
_READ_SECONDS = 4.0
_WRITE_TOKENS = 8
_TOGETHER = 4
_EMBED_TEXTS = 48
_CORE_FLOPS = 3e10
_MOST_CORES = 16
_BYTES_PER_SECOND = 1e10
_START_SECONDS = 4.0
"""Guess of what importing torch and opening a model takes, whatever its size."""
_LOAD_BYTES_PER_SECOND = 3e8


@dataclass(frozen=True)
class Speed:
    """Rates of one model.

    Args:
        read: Tokens read a second; for an embedder tokens embedded a second.
        write: Tokens written a second, one reply at a time.
        write_together: Tokens written a second by all replies of a batch.
        load: Seconds to load it.
        doubling: Tokens of a prompt at which attention makes reading take twice as long.
        source: Where the rates come from.
    """

    read: float
    write: float = math.inf
    write_together: float = math.inf
    load: float = 0.0
    doubling: float = math.inf
    source: Source = "guess"

    def read_seconds(self, tokens: float, calls: int = 1) -> float:
        """Seconds to read so many tokens in so many prompts of like length."""
        return tokens / self.read * (1 + tokens / max(1, calls) / self.doubling)

    def write_seconds(self, tokens: float, calls: int = 1) -> float:
        """Seconds to write so many tokens in so many replies."""
        return tokens / (self.write if calls <= 1 else self.write_together)


@dataclass(frozen=True)
class Shape:
    """Sizes of a language model as its ``config.json`` gives them; ``kv`` counts keys and values of a token."""

    layers: int
    hidden: int
    layer_parameters: int
    head_parameters: int
    window: int
    kv: int = 0

    @property
    def parameters(self) -> int:
        """Parameters that work on every token."""
        return self.layers * self.layer_parameters + self.head_parameters


def speed_of(name: str, folder: Path | None, models_dir: Path | None, *, cuda: bool = False) -> Speed:
    """The best that is known of a model without loading it.

    Args:
        name: Its name.
        folder: Where it lies; ``None`` for one that is not here (``hashing``, an endpoint).
        models_dir: The folder of pulled models, which holds the measurements.
        cuda: Whether it runs on a CUDA device.
    """
    known = entries(models_dir / CACHE) if models_dir else {}
    key = speed_key(identity(name, folder), "cuda" if cuda else "cpu")
    if key in known:
        return _stored(known[key])
    shape = read_shape(folder) if folder else None
    if folder is None or shape is None:
        return guess_unknown(name)
    if split_mark(name)[1] == "llamacpp":
        return guess_quantised(shape, folder)
    probe = next((value for key, value in known.items() if key.startswith(f"{identity(name, folder)}/")), None)
    return from_probe(shape, probe, folder) if probe and not cuda else guess(shape, folder, cuda=cuda)


def identity(name: str, folder: Path | None) -> str:
    """What measurements of a model are kept under: the checksum of its files, else its name."""
    manifest = read_manifest(folder) if folder else None
    if manifest is None:
        return name
    runtime = split_mark(name)[1]
    return manifest.digest if runtime in ("auto", "transformers") else f"{manifest.digest}+{runtime}"


def speed_key(identity: str, device: str) -> str:
    """The key of a measurement on this machine."""
    return f"speed/{identity}/{device.split(':')[0]}/{os.cpu_count()}"


def keep_speed(models_dir: Path, identity: str, device: str, speed: Speed) -> None:
    """Store a measurement, so that later estimates use it."""
    value = {name: amount for name, amount in asdict(speed).items() if amount != math.inf}
    store_entry(models_dir / CACHE, speed_key(identity, device), value)


def _stored(value: Mapping[str, Any]) -> Speed:
    try:
        return Speed(**{**value, "source": "measured"})
    except TypeError:  # written by another version
        return Speed(read=float(value.get("read", 100.0)))


def read_shape(folder: Path) -> Shape | None:
    """The sizes in a model folder's ``config.json``; ``None`` if it holds none of a decoder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        heads = int(config["num_attention_heads"])
        inner, words = int(config["intermediate_size"]), int(config["vocab_size"])
        window = int(config["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    size = int(config.get("head_dim") or hidden // heads)
    keys = int(config.get("num_key_value_heads") or heads)
    layer = 2 * hidden * size * (heads + keys) + 3 * hidden * inner
    return Shape(layers, hidden, layer, words * hidden, window, 2 * layers * keys * size)


def from_probe(shape: Shape, probe: Mapping[str, Any], folder: Path) -> Speed:
    """Reckon from the probe of one layer: layers are alike, and the head counts as so many layers when writing."""
    rates = probe.get("rates", {})
    start = guess(shape, folder)
    read = _best(rates, f"prefill/{probe.get('prefill_dtype')}/") / shape.layers
    layers = shape.parameters / shape.layer_parameters
    one = rates.get(f"decode/{probe.get('decode_dtype')}/1", 0.0) / layers
    together = _best(rates, f"decode/{probe.get('decode_dtype')}/") / layers
    if not (read and one and together):
        return start
    return Speed(read, one, together, start.load, start.doubling, "probe")


def _best(rates: Mapping[str, float], beginning: str) -> float:
    return max((rate for name, rate in rates.items() if name.startswith(beginning)), default=0.0)


def guess(shape: Shape, folder: Path, *, cuda: bool = False) -> Speed:
    """From the number of parameters and a middling machine.

    A token read takes two operations per parameter; a token written fetches all weights once.
    """
    scale = 300.0 if cuda else float(min(_MOST_CORES, os.cpu_count() or 1))
    read = _CORE_FLOPS * scale / (2 * shape.layers * shape.layer_parameters)
    write = _BYTES_PER_SECOND * (50.0 if cuda else 1.0) / (4 * shape.parameters)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    load = _START_SECONDS + weights / _LOAD_BYTES_PER_SECOND
    if (folder / "modules.json").is_file():
        return Speed(read, load=load)
    return Speed(read, write, 4 * write, load, shape.layer_parameters / shape.hidden, "guess")


def guess_quantised(shape: Shape, folder: Path) -> Speed:
    """Like :func:`guess` for a GGUF file: fewer bytes to fetch per token written, one reply at a time."""
    plain = guess(shape, folder)
    size = max((path.stat().st_size for path in folder.glob("*.gguf")), default=4 * shape.parameters)
    write = _BYTES_PER_SECOND / size
    return Speed(plain.read, write, write, size / _LOAD_BYTES_PER_SECOND, plain.doubling)


def guess_unknown(name: str) -> Speed:
    """What is assumed of a model whose files are not here: hashing is plain code, all others are taken for a server."""
    return Speed(read=100_000.0) if name == "hashing" else Speed(read=1000.0, write=30.0, write_together=60.0)


def measure_reader(model: LanguageModel, text: str, load: float, shape: Shape | None = None) -> Speed:
    """Time a loaded model: one prompt read, one reply, several replies together. Takes some seconds.

    Args:
        model: The model.
        text: At least a page of ordinary text; prompts are cut out of it.
        load: Seconds that loading took; what its first call loads is added.
        shape: Its sizes, for how attention grows.
    """
    words = text.split()
    _timed(model, _prompts(words, 1, 8), 2)  # first calls take longer
    tokens, seconds, _ = _timed(model, _prompts(words, 1, _TRIAL_TOKENS), 1)
    # A slow model gets shorter prompts, so that the measurement ends.
    length = round(min(_READ_TOKENS, max(_TRIAL_TOKENS, _READ_SECONDS * tokens / seconds)))
    tokens, seconds, _ = _timed(model, _prompts(words, 1, length), 1)
    doubling = shape.layer_parameters / shape.hidden if shape else math.inf
    read = tokens / seconds * (1 + tokens / doubling)
    rates = []
    for replies in (1, _TOGETHER):
        tokens, seconds, written = _timed(model, _prompts(words, replies, _TRIAL_TOKENS), 1 + _WRITE_TOKENS)
        # A small part of the time is reading, whose rate is known.
        rates.append(max(written, 1) / max(seconds - tokens / read, seconds / 4))
    return Speed(read, rates[0], max(rates), load + model.loading, doubling, "measured")


def _prompts(words: list[str], count: int, length: int) -> list[Prompt]:
    step = max(1, int(length / 1.35))
    bodies = [" ".join(words[start * step : (start + 1) * step]) for start in range(count)]
    return [(Segment("user", f"{body}\nGo on with this text.", trusted=False),) for body in bodies]


def _timed(model: LanguageModel, prompts: list[Prompt], most: int) -> tuple[int, float, int]:
    """Tokens read, seconds, tokens written."""
    started, idle = time.perf_counter(), model.idle
    replies = model.generate(prompts, Sampling(max_new_tokens=most))
    seconds = max(time.perf_counter() - started - (model.idle - idle), 1e-6)
    return sum(model.prompt_tokens(prompts)), seconds, sum(reply.completion_tokens for reply in replies)


def measure_embedder(embedder: Embedder, text: str, load: float) -> Speed:
    """Time a loaded embedder on windows of a text."""
    windows = embedder.windows([text])[0][:_EMBED_TEXTS]
    texts = [text[start:end] for start, end in windows]
    embedder.embed(texts[:2])
    started = time.perf_counter()
    embedder.embed(texts)
    seconds = max(time.perf_counter() - started, 1e-6)
    return Speed(read=sum(embedder.count_tokens(texts)) / seconds, load=load, source="measured")
