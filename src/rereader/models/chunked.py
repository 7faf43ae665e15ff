"""Attention of a chunk of tokens to what was read before it and to itself, without a mask.

A causal mask between a chunk and a longer past cannot be told to the fast kernels other than as a tensor, which makes
them slower or rules them out. Seen apart, neither part needs one: the past is open to every token of the chunk, the
chunk is causal in itself. Each part's softmax is normalised by its own sum, so the two are put together weighted by
those sums, which the kernels return as their logarithms (the merge of FlashAttention, arXiv 2205.14135).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rereader.models.visible import Visible
from rereader.schema.errors import ModelError

_NAME = "rereader_chunked"


class Watch(Protocol):
    """Whoever looks on while a model attends."""

    def see(self, layer: int, query: torch.Tensor, key: torch.Tensor, scale: float, window: int | None) -> None:
        """Take down what is needed.

        Args:
            layer: Number of the layer.
            query: Rotated queries: [rows, heads, queries, size].
            key: Rotated keys, those of the queries' own tokens the last: [rows, key heads, tokens, size].
            scale: Factor of their products.
            window: Positions that the layer looks back, its own included; ``None`` for all.
        """


def use_chunked(model: Any) -> None:
    """Let a model that attends by SDPA do without masks where it can; any other is left as it is."""
    config = model.config.get_text_config()
    if config._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, attend)
        AttentionMaskInterface.register(_NAME, mask_unless_causal)
        config._attn_implementation = _NAME


def require_chunked(model: Any) -> None:
    """Make sure that a model attends by :func:`attend`.

    Raises:
        ModelError: If it does not.
    """
    if not is_chunked(model):
        raise ModelError("The model does not attend by SDPA.", "Load it with attn_implementation='sdpa'.")


def is_chunked(model: Any) -> bool:
    """Whether a model attends by :func:`attend`."""
    return bool(model.config.get_text_config()._attn_implementation == _NAME)


def mask_unless_causal(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    *,
    attention_mask: torch.Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **options: Any,
) -> torch.Tensor | None:
    """No mask where every token sees all that stands before it; what SDPA would be given otherwise."""
    whole = kv_offset == 0 and q_offset + q_length == kv_length
    local = local_size is not None and kv_length >= local_size
    if allow_is_causal_skip and whole and not local and attention_mask is None:
        return None
    make: Any = sdpa_mask
    mask: torch.Tensor | None = make(
        batch_size,
        q_length,
        kv_length,
        q_offset,
        kv_offset,
        attention_mask=attention_mask,
        local_size=local_size,
        allow_is_causal_skip=allow_is_causal_skip,
        **options,
    )
    return mask


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    visible: Visible | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention function of a model; a chunk after a past goes part by part if the kernels at hand can do that.

    ``visible`` says what may be seen beside compressed texts, ``watch`` is shown the layer's queries and keys.
    """
    count, past = query.shape[2], key.shape[2] - query.shape[2]
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if watch is not None:
        watch.see(_number(module), query, key, scale, options.get("sliding_window"))
    attention_mask = seen_by(visible, module, query, key, attention_mask, options)
    if attention_mask is None and past and count > 1:
        if _has_kernel(query):
            return _in_parts(query, key, value, past, scale).transpose(1, 2), None
        attention_mask = torch.ones(count, past + count, dtype=torch.bool, device=query.device).tril(past)[None, None]
    plain: Any = sdpa_attention_forward
    output: tuple[torch.Tensor, None] = plain(module, query, key, value, attention_mask, scaling=scaling, **options)
    return output


def seen_by(
    visible: Visible | None,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    options: dict[str, Any],
) -> torch.Tensor | None:
    """What a layer's queries may see: the given mask, unless compressed texts make it another one for this layer."""
    if visible is None:
        return mask
    other = visible.mask(_number(module), key.shape[2], query.shape[1], options.get("sliding_window"))
    return mask if other is None else other


def _number(module: torch.nn.Module) -> int:
    layer: Any = module.layer_idx
    return int(layer)


def _in_parts(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, past: int, scale: float) -> torch.Tensor:
    """Attention as [rows, heads, chunk, size] from query and [rows, key heads, past and chunk, size] keys, values."""
    rows, heads, count, size = query.shape
    group = heads // key.shape[1]
    # Heads that share keys are laid one after the other: with nothing masked, queries need not be in order.
    folded = query.reshape(rows, heads // group, group * count, size)
    before, weight_before = _kernel(folded, key[:, :, :past], value[:, :, :past], scale, causal=False)
    before, weight_before = before.reshape(query.shape), weight_before.reshape(query.shape[:3])
    keys, values = (states[:, :, past:].repeat_interleave(group, 1) for states in (key, value))
    inside, weight_inside = _kernel(query, keys, values, scale, causal=True)
    share = torch.sigmoid(weight_before - weight_inside)[..., None].to(query.dtype)
    return torch.lerp(inside, before, share)


def _has_kernel(query: torch.Tensor) -> bool:
    """Whether there is a kernel that returns the logarithm of its sums for tensors such as these."""
    if query.device.type == "cpu":
        return True
    half = query.dtype in (torch.float16, torch.bfloat16)
    return query.device.type == "cuda" and half and query.shape[-1] % 8 == 0 and query.shape[-1] <= 256


def _kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, *, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention [rows, heads, queries, size] and the logarithm of each row's sum, float32 [rows, heads, queries]."""
    if query.device.type == "cpu":
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scale)
    else:
        found = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, scale=scale)
    return found[0], found[1]
