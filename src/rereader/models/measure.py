"""Measures which precision and batch sizes are fastest on this machine; nothing is assumed.

A probe is a copy of the model cut down to one layer and a tiny vocabulary, with random weights: layers are alike, so
the ratios between precisions and batch sizes carry over, and the probe is quick even for a large model.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rereader.models.rendering import Rendered
from rereader.schema.errors import StoreError

if TYPE_CHECKING:
    from rereader.models.engine import Engine

Phase = dict[tuple[str, int], float]
"""Tokens per second by (dtype, batch size)."""
PROBE_TOKENS = 64
PROBE_STEPS = 8
PROBE_READS = 2
PROBE_LAYERS = 1
STEP_GROWTH = 0.25
"""A step that writes for more rows takes less than proportionally longer, since the weights are read once for all."""
REPLY_SHARE = 16
"""One token is written for this many read; weighs the phases when one precision must serve both."""
SECOND_COPY_GAIN = 1.5
"""A second copy of the weights must make its phase this much faster."""
GOOD_ENOUGH = 0.9
"""The smallest batch that reaches this share of the best rate is taken."""


@dataclass(frozen=True)
class Settings:
    """Precision and batch size per phase, and the tokens per second of the probe that led to them."""

    prefill_dtype: str = "float32"
    decode_dtype: str = "float32"
    prefill_batch: int = 8
    decode_batch: int = 8
    rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rates:
    """Rates of the probe per phase."""

    prefill: Phase
    decode: Phase


def measure(
    config: Any,
    device: str,
    dtypes: Sequence[str],
    *,
    two_copies: bool = False,
    seconds: float = 3.0,
    batches: Sequence[int] = (1, 4, 16),
) -> Settings:
    """Run short probes and choose settings.

    Args:
        config: Configuration of the model (only its layer sizes are used).
        device: Torch device.
        dtypes: Precisions to compare, as torch names.
        two_copies: Whether memory allows one copy of the weights per phase.
        seconds: Aim for the timed parts of all probes together: the smallest batch is measured in every precision,
            and of the others those that are expected to end in time.
        batches: Batch sizes to try, ascending.
    """
    models = {dtype: probe_model(config, device, dtype) for dtype in dtypes}
    return decide(_rates(models, batches, seconds), two_copies=two_copies)


def measure_loaded(model: Any, dtype: str, *, seconds: float = 3.0, batches: Sequence[int] = (1, 4, 16)) -> Settings:
    """Choose batch sizes by probing a whole model, where no probe of the same precision can be built.

    Args:
        model: The model.
        dtype: The name of its precision.
        seconds: See :func:`measure`.
        batches: Batch sizes to try, ascending.
    """
    # Rates are those of one layer everywhere else.
    return replace(decide(_rates({dtype: model}, batches, seconds), two_copies=False), rates={})


def decide(rates: Rates, *, two_copies: bool) -> Settings:
    """Choose precision and batch size per phase from measured rates."""
    prefill, decode = (_best_dtype(phase) for phase in (rates.prefill, rates.decode))
    if prefill != decode and not (two_copies and _worth_two(rates, prefill, decode)):
        prefill = decode = min(_names(rates), key=lambda dtype: _seconds_per_read(rates, dtype))
    named = {f"prefill/{dtype}/{rows}": rate for (dtype, rows), rate in rates.prefill.items()}
    named |= {f"decode/{dtype}/{rows}": rate for (dtype, rows), rate in rates.decode.items()}
    return Settings(
        prefill_dtype=prefill,
        decode_dtype=decode,
        prefill_batch=_best_batch(rates.prefill, prefill),
        decode_batch=_best_batch(rates.decode, decode),
        rates={name: round(rate, 1) for name, rate in named.items()},
    )


def load_settings(path: Path, key: str) -> Settings | None:
    """Settings measured before under ``key``, or ``None``; an unreadable file counts as empty."""
    try:
        return Settings(**entries(path)[key])
    except (KeyError, TypeError):
        return None


def store_settings(path: Path, key: str, settings: Settings) -> None:
    """Keep settings under ``key``; see :func:`store_entry`."""
    store_entry(path, key, asdict(settings))


def store_entry(path: Path, key: str, value: Mapping[str, Any]) -> None:
    """Keep what was measured under ``key`` in a JSON file, replaced in one step.

    Raises:
        StoreError: If the file cannot be written.
    """
    kept = {**entries(path), key: dict(value)}
    part = path.with_name(f"{path.name}.{time.monotonic_ns()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        msg = f"Cannot write the measured model settings to {path}: {error.strerror}."
        raise StoreError(msg, "Choose a folder that can be written to.") from error


def entries(path: Path) -> dict[str, Any]:
    """Everything measured by key; an unreadable file counts as empty."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(rates: Rates) -> list[str]:
    return list(dict.fromkeys(dtype for dtype, _ in rates.prefill))


def _mean_rate(phase: Phase, dtype: str) -> float:
    # Over the batch sizes that were measured in every precision, so that like is compared with like.
    names = {name for name, _ in phase}
    common = [rows for name, rows in phase if name == dtype and all((other, rows) in phase for other in names)]
    return math.exp(sum(math.log(phase[dtype, rows]) for rows in common) / len(common))


def _best_dtype(phase: Phase) -> str:
    return max(dict.fromkeys(dtype for dtype, _ in phase), key=lambda dtype: _mean_rate(phase, dtype))


def _best_batch(phase: Phase, dtype: str) -> int:
    mine = {rows: rate for (name, rows), rate in phase.items() if name == dtype}
    good = GOOD_ENOUGH * max(mine.values())
    return min(rows for rows, rate in mine.items() if rate >= good)


def _worth_two(rates: Rates, prefill: str, decode: str) -> bool:
    gain_prefill = _mean_rate(rates.prefill, prefill) / _mean_rate(rates.prefill, decode)
    gain_decode = _mean_rate(rates.decode, decode) / _mean_rate(rates.decode, prefill)
    return min(gain_prefill, gain_decode) >= SECOND_COPY_GAIN


def _seconds_per_read(rates: Rates, dtype: str) -> float:
    return REPLY_SHARE / _mean_rate(rates.prefill, dtype) + 1 / _mean_rate(rates.decode, dtype)


def probe_model(config: Any, device: str, dtype: str) -> Any:
    """A random-weight model with the layer sizes of ``config``, one layer and a vocabulary of 256."""
    import torch
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(config.get_text_config())
    layers = min(PROBE_LAYERS, small.num_hidden_layers)
    if getattr(small, "layer_types", None):
        small.layer_types = small.layer_types[:layers]
    small.num_hidden_layers = layers
    small.vocab_size = 256
    small.pad_token_id = small.bos_token_id = small.eos_token_id = None
    auto: Any = AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        model = auto.from_config(small, attn_implementation="sdpa", dtype=getattr(torch, dtype))
    return model.to(device).eval()


def _rates(models: dict[str, Any], batches: Sequence[int], seconds: float) -> Rates:
    decode = _measure_phase(models, batches, _probe_decode, PROBE_STEPS * STEP_GROWTH, seconds / 2)
    prefill = _measure_phase(models, batches, _probe_prefill, PROBE_TOKENS * PROBE_READS, seconds / 2)
    return Rates(prefill, decode)


def _measure_phase(
    models: dict[str, Any], batches: Sequence[int], probe: Callable[[Any, int], float], tokens: float, seconds: float
) -> Phase:
    spent = 0.0
    rates: Phase = {}
    last: dict[str, float] = {}
    for rows in batches:
        for dtype, model in models.items():
            # The smallest batch is always measured; the next ones only if they should end in time.
            if dtype in last and spent + rows * tokens / last[dtype] > seconds:
                continue
            rates[dtype, rows] = last[dtype] = probe(model, rows)
            spent += rows * tokens / last[dtype]
    return rates


def _probe_prefill(model: Any, rows: int) -> float:
    """Tokens per second when reading, all rows together; the faster of two reads counts."""
    engine = _warm_engine(model, rows * PROBE_TOKENS)
    prompts = [Rendered(tuple(range(PROBE_TOKENS)), (), ())] * rows
    reads = [_timed(model, lambda: engine.prefill(prompts, _never)) for _ in range(PROBE_READS)]
    return rows * PROBE_TOKENS / min(reads)


def _probe_decode(model: Any, rows: int) -> float:
    """Tokens per second when writing, all rows together; the fastest step counts, since other programs only slow it."""
    import torch

    engine = _warm_engine(model, rows * PROBE_TOKENS)
    batch = engine.prefill([Rendered((1, 2, 3), (), ())] * rows, _never)
    chosen = torch.zeros(rows, dtype=torch.long)
    steps = [_timed(model, lambda: engine.step(batch, chosen)) for _ in range(PROBE_STEPS)]
    return rows / min(steps)


def _warm_engine(model: Any, block_tokens: int) -> Engine:
    from rereader.models.engine import Engine

    engine = Engine(model, block_tokens=block_tokens)
    engine.prefill([Rendered((1, 2, 3), (), ())], _never)
    return engine


def _never() -> bool:
    return False


def _timed(model: Any, run: Callable[[], object]) -> float:
    import torch

    on_cuda = model.device.type == "cuda"
    start = time.perf_counter()
    run()
    if on_cuda:
        torch.cuda.synchronize()
    return max(time.perf_counter() - start, 1e-9)
