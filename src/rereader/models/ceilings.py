"""What an accelerator can do at best, and how near reading and batched writing come to it.

Weights are random and built from a configuration, so nothing is downloaded; timings do not depend on their values.
Imports torch inside functions, and nothing beyond this package, so that it runs on a bare GPU machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rereader.models.base import Sampling, Segment
from rereader.models.measure import Settings, measure
from rereader.models.rendering import Rendered

if TYPE_CHECKING:
    from rereader.models.batch import Batch
    from rereader.models.engine import Engine
    from rereader.models.local import LocalModel

_CUDA_BATCHES = (8, 32, 64)
_CPU_BATCHES = (1, 4)
_WARM_UPS = 2
_ROUNDS = 5


@dataclass(frozen=True)
class Shapes:
    """Sizes of what is measured.

    Args:
        name: Shown in the row.
        config: Keyword arguments of ``Qwen3Config``.
        dtype: Torch name of the precision.
        side: Rows and columns of the square matrices that give the arithmetic rate.
        copied: Bytes that are copied to give the memory rate.
        context: Tokens of the long prompt.
        chunk: Tokens of one chunk to gist.
        gist: Tokens of one gist.
        chunks: Chunks to gist.
    """

    name: str
    config: dict[str, Any]
    dtype: str
    side: int
    copied: int
    context: int
    chunk: int = 512
    gist: int = 80
    chunks: int = 128


QWEN3_4B = Shapes(
    name="qwen3-4b",
    config={
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "max_position_embeddings": 40_960,
        "tie_word_embeddings": True,
    },
    dtype="bfloat16",
    side=8192,
    copied=2 << 30,
    context=32_768,
)
TINY = Shapes(
    name="tiny",
    config={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": 512,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    dtype="float32",
    side=128,
    copied=1 << 20,
    context=512,
    chunk=64,
    gist=8,
    chunks=8,
)


def build_model(shapes: Shapes, device: str) -> Any:
    """A random-weight causal language model of these shapes on the device, ready for use."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen3Config

    make: Any = Qwen3Config
    auto: Any = AutoModelForCausalLM
    config = make(**shapes.config, eos_token_id=None, bos_token_id=None, pad_token_id=None)
    with torch.device(device):
        model = auto.from_config(config, attn_implementation="sdpa", dtype=getattr(torch, shapes.dtype))
    return model.to(device).eval()


def matmul_rate(shapes: Shapes, device: str) -> float:
    """Operations a second of the fastest of some products of two square matrices."""
    import torch

    dtype = getattr(torch, shapes.dtype)
    left, right = (torch.randn(shapes.side, shapes.side, device=device, dtype=dtype) for _ in range(2))
    return 2 * shapes.side**3 / _fastest(lambda: left @ right, device)


def copy_rate(shapes: Shapes, device: str) -> float:
    """Bytes a second, read and written, of copying within the device's memory."""
    import torch

    source = torch.empty(shapes.copied, device=device, dtype=torch.uint8).zero_()
    target = torch.empty_like(source)
    return 2 * shapes.copied / _fastest(lambda: target.copy_(source), device)


def reading_operations(config: Any, tokens: int) -> float:
    """Operations to read a prompt: two per parameter and token, and causal attention over half of the pairs.

    The head works on the last token only and the embedding is a look-up; neither counts.
    """
    text = config.get_text_config()
    heads = text.num_attention_heads * text.head_dim
    keys = text.num_key_value_heads * text.head_dim
    layer = text.hidden_size * (2 * heads + 2 * keys) + 3 * text.hidden_size * text.intermediate_size
    return float(text.num_hidden_layers * (2 * layer * tokens + 2 * heads * tokens**2))


def measure_prefill(model: Any, shapes: Shapes, matmul: float) -> dict[str, float]:
    """Read one long prompt as the engine does; its share of the arithmetic rate."""
    engine = _engine(model)
    prompt = Rendered(_ids(shapes.context, model), (), ())
    seconds = _fastest(lambda: engine.prefill([prompt], _never), model.device.type, warm_ups=1, rounds=3)
    operations = reading_operations(model.config, shapes.context)
    return {
        "context": shapes.context,
        "seconds": seconds,
        "tokens_in_per_second": shapes.context / seconds,
        "share_of_matmul": operations / seconds / matmul,
    }


def measure_gisting(model: Any, tokenizer: Any, shapes: Shapes, copy: float) -> dict[str, float]:
    """Write gists of many chunks through :class:`LocalModel`, against its own engine run in full, even batches."""
    from rereader.models.local import LocalModel

    device = model.device.type
    batches = _CUDA_BATCHES if device == "cuda" else _CPU_BATCHES
    settings = measure(model.config, str(model.device), [shapes.dtype], batches=batches)
    local = LocalModel(model, tokenizer, name=shapes.name, settings=settings, fingerprint_of_weights="random")
    try:
        prompts = _chunks(local, shapes)
        sampling = Sampling(max_new_tokens=shapes.gist)
        local.generate(prompts[: settings.decode_batch], Sampling(max_new_tokens=2))
        started = _now(device)
        replies = local.generate(prompts, sampling)
        seconds = _now(device) - started
        read = sum(local.prompt_tokens(prompts))
    finally:
        local.close()
    written = sum(reply.completion_tokens for reply in replies)
    ceiling, step = _ceiling(model, settings, read // len(prompts), len(prompts), written)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return {
        "chunks": len(prompts),
        "seconds": seconds,
        "tokens_in_per_second": read / seconds,
        "tokens_out_per_second": written / seconds,
        "prefill_batch": settings.prefill_batch,
        "decode_batch": settings.decode_batch,
        "ceiling_seconds": ceiling,
        "share_of_ceiling": ceiling / seconds,
        "step_share_of_copy": weights / step / copy,
    }


def _ceiling(model: Any, settings: Settings, length: int, prompts: int, written: int) -> tuple[float, float]:
    """Seconds for the same tokens in full batches without any bookkeeping, and seconds of one writing step."""
    import torch

    device = model.device.type
    engine = _engine(model)
    prompt = Rendered(_ids(length, model), (), ())
    rows = min(settings.prefill_batch, settings.decode_batch, prompts)
    reading = _fastest(lambda: engine.prefill([prompt] * rows, _never), device, warm_ups=1, rounds=3) / rows
    writers = min(settings.decode_batch, prompts)
    batch: Batch = engine.prefill([prompt] * writers, _never)
    chosen = torch.zeros(writers, dtype=torch.long)
    step = _fastest(lambda: engine.step(batch, chosen), device)
    # The first token of a reply comes with reading.
    return prompts * reading + max(0, written - prompts) / writers * step, step


def _chunks(local: LocalModel, shapes: Shapes) -> list[tuple[Segment, ...]]:
    """Prompts of about the wanted length, no two alike."""
    per_word = max(1, local.count_tokens([" mist over the lake"])[0] // 4)
    words = max(1, shapes.chunk // per_word - 8)
    bodies = [" ".join(["mist", "over", "the", "lake"][(i + k) % 4] for k in range(words)) for i in range(4)]
    return [(Segment("user", f"{i} {bodies[i % 4]}", trusted=False),) for i in range(shapes.chunks)]


def peak_bytes(device: str) -> int:
    """Most memory held so far: of the device on CUDA, of the process otherwise."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _engine(model: Any) -> Engine:
    from rereader.models.engine import Engine
    from rereader.models.room import block_tokens

    return Engine(model, block_tokens=block_tokens(model.device.type))


def _ids(count: int, model: Any) -> tuple[int, ...]:
    words = int(model.config.get_text_config().vocab_size)
    return tuple((7 * place + 3) % words for place in range(count))


def _never() -> bool:
    return False


def _fastest(run: Callable[[], object], device: str, *, warm_ups: int = _WARM_UPS, rounds: int = _ROUNDS) -> float:
    """Seconds of the fastest of some runs, since other programs only slow them."""
    import torch

    seconds: list[float] = []
    with torch.inference_mode():
        for _ in range(warm_ups + rounds):
            started = _now(device)
            run()
            seconds.append(_now(device) - started)
    return max(min(seconds[warm_ups:]), 1e-9)


def _now(device: str) -> float:
    """The clock, once the device has finished what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def goals(prefill: dict[str, float], gisting: dict[str, float]) -> Sequence[tuple[str, float, float]]:
    """What is aimed at: name, reached, aim."""
    return (
        ("prefill, share of the measured matrix rate", prefill["share_of_matmul"], 0.60),
        ("gisting, share of the model's own batched ceiling", gisting["share_of_ceiling"], 0.80),
    )
