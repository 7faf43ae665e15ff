"""How well rankings find the sentences that answer a question in a short text: attention heads, MiniLM and BM25."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.evals.environment import describe_environment
from rereader.evals.heads import CHOSEN, Told, attended
from rereader.evals.marked import GENERATOR, MarkedItem
from rereader.evals.rows import ResultsFile, hash_settings
from rereader.models.base import Embedder, Float32Array, Head, LanguageModel
from rereader.schema.errors import InputError
from rereader.tools.lexical import Words
from rereader.tools.words import content_words

DEPTHS = (1, 5, 10)
_SEED = 7
Scores = NDArray[np.floating[Any]]


def measure_sentences(
    model: LanguageModel,
    embedder: Embedder,
    source: str,
    items: Sequence[MarkedItem],
    lists: Mapping[str, Sequence[Head]],
    out: Path,
    told: Told = lambda done, total: None,
) -> int:
    """Append one row for each item and ranking; rows that are there are skipped.

    Args:
        model: A model whose attention can be read.
        embedder: Ranks by cosine.
        source: Name of the set, for the rows.
        items: Test items; none of them may have been used to find heads.
        lists: Lists of heads by name; all heads and as many random ones are added.
        out: The results file.
        told: Is told how far it is.

    Returns:
        The number of rows written.

    Raises:
        InputError: If a list names a head that the model does not have.
    """
    heads = model.all_heads()
    chosen = {**lists, "all": heads, "random": Random(_SEED).sample(heads, min(CHOSEN, len(heads)))}
    for name, some in chosen.items():
        if strange := next((head for head in some if head not in heads), None):
            msg = f"The list {name!r} names the head {strange.layer}-{strange.head}, which {model.name} does not have."
            raise InputError(msg, "Use a list that was made for this model.")
    made_of = {"heads": chosen, "model": model.fingerprint, "embedder": embedder.fingerprint, "items": GENERATOR}
    settings = hash_settings(made_of)
    rows = ResultsFile(out)
    names = {"model": model.name, "embedder": embedder.name}
    rows.begin({**describe_environment(), "benchmark": "sentences", "models": names, "heads": chosen})
    written = 0
    for done, item in enumerate(items):
        told(done, len(items))
        benchmark = f"sentences-{source}"
        if (benchmark, "test", 0, item.id, "bm25", settings) in rows:
            continue
        key = {"benchmark": benchmark, "split": "test", "seed": 0, "item": item.id, "settings_hash": settings}
        facts = {"kind": item.kind, "parts": len(item.parts)}
        for name, scores, seconds in _rankings(model, embedder, item, heads, chosen):
            recalls = {f"recall@{depth}": recall_at(scores, item.gold, depth) for depth in DEPTHS}
            rows.add({**key, **facts, "system": name, **recalls, "seconds": seconds})
            written += 1
    told(len(items), len(items))
    return written


def recall_at(scores: Scores, gold: frozenset[int], depth: int) -> float:
    """Share of the gold parts among the ``depth`` best; equal scores keep the text's order."""
    return len(gold & set(np.argsort(-scores, kind="stable")[:depth].tolist())) / len(gold)


def _rankings(
    model: LanguageModel,
    embedder: Embedder,
    item: MarkedItem,
    heads: Sequence[Head],
    chosen: Mapping[str, Sequence[Head]],
) -> Iterator[tuple[str, Scores, float]]:
    """Name, scores and seconds of every ranking; BM25 comes last and marks an item as done."""
    started = time.perf_counter()
    found = attended(model, item, heads)
    seconds = time.perf_counter() - started
    places = {head: place for place, head in enumerate(heads)}
    dense = _dense(embedder, item)
    lexical = Words(item.parts).bm25(content_words(item.question))
    for name, some in chosen.items():
        index = [places[head] for head in some]
        calibrated = found.together(index)
        yield f"heads {name}", calibrated, seconds
        yield f"heads {name} without null", found.together(index, calibrated=False), seconds
        yield f"heads {name} + {embedder.name} + bm25", _z(calibrated) + _z(dense) + _z(lexical), seconds
    yield embedder.name, dense, 0.0
    yield f"{embedder.name} + bm25", _z(dense) + _z(lexical), 0.0
    yield "bm25", lexical, 0.0


def _dense(embedder: Embedder, item: MarkedItem) -> Float32Array:
    """Cosine of each part: that of its best window."""
    parts = [part.strip() for part in item.parts]
    windows = embedder.windows(parts)
    pieces = [part[start:end] for part, found in zip(parts, windows, strict=True) for start, end in found]
    cosines = embedder.embed(pieces) @ embedder.embed([item.question], kind="query")[0]
    ends = np.cumsum([len(found) for found in windows])
    return np.array([part.max() for part in np.split(cosines, ends[:-1])], dtype=np.float32)


def _z(scores: Scores) -> Scores:
    spread = float(scores.std())
    return (scores - scores.mean()) / spread if spread else scores * 0
