"""A model without some of its attention heads, to see what they do (Wu et al., arXiv 2404.15574)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rereader.models.attention import check_heads
from rereader.models.base import Head
from rereader.schema.errors import ModelError


@contextmanager
def without_heads(model: Any, heads: Sequence[Head]) -> Iterator[None]:
    """Make the output of some heads zero inside the block.

    Only the thread that owns the model may do this, and what was read outside the block must not be gone on from.

    Args:
        model: A causal language model of transformers.
        heads: The heads; none leaves the model as it is.

    Raises:
        InputError: If a head does not exist.
        ModelError: If the model's heads cannot be told apart where they are put together.
    """
    if heads:
        check_heads(model.config, heads)
    layers: dict[int, list[int]] = defaultdict(list)
    for head in heads:
        layers[head.layer].append(head.head)
    parts = {part.layer_idx: part for part in model.modules() if hasattr(part, "o_proj") and hasattr(part, "layer_idx")}
    if missing := [layer for layer in layers if layer not in parts]:
        msg = f"The heads of layer {missing[0]} cannot be masked."
        raise ModelError(msg, "Use a plain attention model (Llama, Qwen2, Qwen3 or Gemma 3).")
    count = model.config.get_text_config().num_attention_heads
    hooks = [parts[layer].o_proj.register_forward_pre_hook(_silence(chosen, count)) for layer, chosen in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _silence(heads: Sequence[int], count: int) -> Any:
    def hook(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states, *rest = arguments
        by_head = states.reshape(*states.shape[:-1], count, -1).clone()
        by_head[..., list(heads), :] = 0
        return (by_head.flatten(-2), *rest)

    return hook
