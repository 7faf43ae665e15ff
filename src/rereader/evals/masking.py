"""What is lost when a model's retrieval heads are masked, beside as many random ones (Wu et al., arXiv 2404.15574).

Planted facts stand at several depths of texts of several lengths. What is measured is how likely the model finds the
fact itself as the reply, in natural logarithms per token: a continuous score, so that models too small to answer in
full sentences can be compared as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from rereader.evals.data import read_lines, read_text
from rereader.evals.environment import describe_environment
from rereader.evals.heads import CHOSEN, Told
from rereader.evals.needles import split_items
from rereader.evals.rows import ResultsFile, hash_settings
from rereader.models.base import Head, Prompt
from rereader.models.local import LocalModel
from rereader.models.masking import without_heads
from rereader.prompts.loader import Piece, load
from rereader.schema.errors import InputError
from rereader.tools.sentences import sentence_spans

LENGTHS = (10, 40)
"""Sentences of the text around a fact."""
DEPTHS = (0.1, 0.5, 0.9)
_SEED = 11


def measure_masking(
    model: LocalModel,
    heads: Sequence[Head],
    data: Path,
    facts: int,
    out: Path,
    told: Told = lambda done, total: None,
) -> int:
    """Append one row for each fact, length, depth and set of masked heads; rows that are there are skipped.

    Args:
        model: The model.
        heads: Its retrieval heads, best first; the best :data:`CHOSEN` are masked.
        data: Folder of the benchmark data.
        facts: How many facts are planted.
        out: The results file.
        told: Is told how far it is.

    Returns:
        The number of rows written.

    Raises:
        InputError: If there are too few other heads to choose random ones from.
    """
    best = list(heads[:CHOSEN])
    others = [head for head in model.all_heads() if head not in best]
    if len(others) < len(best):
        raise InputError(f"{model.name} has too few heads besides those {len(best)}.", "Use a larger model.")
    masks = {"none": [], "retrieval heads": best, "random heads": Random(_SEED).sample(others, len(best))}
    settings = hash_settings({"masks": masks, "model": model.fingerprint})
    rows = ResultsFile(out)
    rows.begin({**describe_environment(), "benchmark": "masking", "models": {"model": model.name}, "masks": masks})
    cells, written = list(_grid(data, facts)), 0
    for done, (item, kind, prompt, fact) in enumerate(cells):
        told(done, len(cells))
        if ("masking", "test", _SEED, item, "random heads", settings) in rows:
            continue
        key = {"benchmark": "masking", "split": "test", "seed": _SEED, "item": item, "settings_hash": settings}
        for system, score in _scores(model, masks, prompt, fact).items():
            rows.add({**key, "system": system, "kind": kind, "logprob": round(score, 5)})
            written += 1
    told(len(cells), len(cells))
    return written


def _scores(model: LocalModel, masks: Mapping[str, Sequence[Head]], prompt: Prompt, fact: str) -> dict[str, float]:
    tokens = model.count_tokens([fact])[0]
    found = {}
    for name, heads in masks.items():
        with without_heads(model.engine.prefill_model, heads):
            found[name] = float(model.log_likelihood([prompt], [fact])[0]) / tokens
    return found


def _grid(data: Path, facts: int) -> Iterator[tuple[str, str, Prompt, str]]:
    """Item, kind (length and depth), prompt and fact."""
    essays = " ".join(read_text(path) for path in sorted((data / "essays").glob("*.txt.gz")))
    sentences = [essays[start:end].strip() for start, end in sentence_spans(essays)]
    raws = split_items(read_lines(data / "needles" / "planted_facts.jsonl"), "test")
    chosen = [raw for raw in raws if len(raw["needles"]) == 1][:facts]
    for raw in chosen:
        [fact] = raw["needles"]
        for length in LENGTHS:
            start = Random(f"masking:{raw['id']}").randrange(len(sentences) - length)
            for depth in DEPTHS:
                parts = sentences[start : start + length]
                parts.insert(round(depth * length), fact)
                # No piece is cacheable: what was read with other heads masked must not be gone on from.
                text = [Piece(f"{part} ") for part in parts]
                prompt = load("attend").render(text=text, question=raw["question"])
                yield f"{raw['id']}/{length}/{depth}", f"{length} sentences, depth {depth}", prompt, fact
