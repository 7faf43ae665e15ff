"""Attention of chosen heads: where in a text do the tokens of a question look?

The model runs as always, but its attention function also hands each layer's queries and keys to a probe: rotated and
normalised as the family has it. The probe works out the softmax rows of the chosen heads, for the question's tokens
only and over one block of the text after the other, so memory grows with the text's length and never with its square.
The pass ends at the deepest chosen layer.

Retrieval heads: Wu et al. (arXiv 2404.15574), QRHead (arXiv 2506.09944); ReContext replays what they look at
(arXiv 2607.02509).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rereader.models.base import Head
from rereader.models.chunked import seen_by
from rereader.models.shallow import Enough
from rereader.models.visible import Visible
from rereader.schema.errors import InputError, ModelError

BLOCK = 4096
"""Keys that are looked at in one go."""
_NAME = "rereader_probe"
_UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What attention functions are told by families whose rows are more than a softmax of masked products."""


@dataclass(frozen=True)
class Rows:
    """Softmax rows as tensors on the CPU; see :class:`~rereader.models.base.Attention`.

    Args:
        by_query: Mean over the heads: float32 [queries, tokens].
        by_head: Mean over the queries: float32 [heads, tokens], heads as they were asked for.
        peaks: The token that each row is highest at: int64 [heads, queries].
    """

    by_query: torch.Tensor
    by_head: torch.Tensor
    peaks: torch.Tensor


class Probe:
    """Takes down the rows of chosen heads as the layers go by.

    Args:
        heads: The heads; no two alike.
        meant: Range of the queries that a head's mean is over; by default all.
        block: Most keys looked at in one go.
    """

    def __init__(self, heads: Sequence[Head], meant: slice = slice(None), block: int = BLOCK) -> None:
        self._places: dict[int, list[int]] = defaultdict(list)
        for place, head in enumerate(heads):
            self._places[head.layer].append(place)
        self._heads = list(heads)
        self._meant = meant
        self._block = block
        self._left = set(self._places)
        self._by_query: torch.Tensor | None = None
        self._by_head: dict[int, torch.Tensor] = {}
        self._peaks: dict[int, torch.Tensor] = {}

    def take(self, layer: int, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scale: float) -> None:
        """Look at one layer.

        Args:
            layer: Its number.
            query: [1, heads, queries, size].
            key: [1, key heads, tokens, size].
            mask: What may be seen: [1, 1 or heads, queries, tokens], boolean or added to the products; ``None`` is
                causal.
            scale: Factor of the products.
        """
        places = self._places.get(layer)
        if not places:
            return
        group = query.shape[1] // key.shape[1]
        chosen = [self._heads[place].head for place in places]
        queries = query[0, chosen].float() * scale
        keys = key[0, [head // group for head in chosen]]
        mask = mask if mask is None else mask[0] if mask.shape[1] == 1 else mask[0, chosen]
        normal = torch.full(queries.shape[:2], -torch.inf, device=queries.device)
        highest, peaks = normal, torch.zeros(normal.shape, dtype=torch.int64, device=queries.device)
        for start, products in self._products(queries, keys, mask):
            normal = torch.logaddexp(normal, products.logsumexp(-1))
            here, place = products.max(-1)
            peaks = torch.where(here > highest, place + start, peaks)
            highest = torch.maximum(highest, here)
        if self._by_query is None:
            self._by_query = torch.zeros(queries.shape[1], keys.shape[1])
        by_head = torch.zeros(len(places), keys.shape[1])
        for start, products in self._products(queries, keys, mask):
            rows = (products - normal[..., None]).exp()
            end = start + rows.shape[-1]
            self._by_query[:, start:end] += rows.sum(0).cpu()
            by_head[:, start:end] = rows[:, self._meant].mean(1).cpu()
        self._by_head |= dict(zip(places, by_head, strict=True))
        self._peaks |= dict(zip(places, peaks.cpu(), strict=True))
        self._left.discard(layer)
        if not self._left:
            raise Enough

    def rows(self) -> Rows:
        """What was taken down.

        Raises:
            ModelError: If not every layer came by.
        """
        if self._left or self._by_query is None:
            raise ModelError(
                "The model does not show what its heads look at.",
                "Use a plain attention model (Llama, Qwen2, Qwen3 or Gemma 3).",
            )
        by_head, peaks = (
            torch.stack([found[place] for place in range(len(self._heads))]) for found in (self._by_head, self._peaks)
        )
        return Rows(self._by_query / len(self._heads), by_head, peaks)

    def _products(
        self, queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Masked products with one block of keys after the other: its start, and float32 [heads, queries, block]."""
        count, total = queries.shape[1], keys.shape[1]
        for start in range(0, total, self._block):
            block = keys[:, start : start + self._block].float()
            products = queries @ block.transpose(1, 2)
            if mask is None:
                places = torch.arange(start, start + block.shape[1], device=keys.device)
                seen = places <= torch.arange(total - count, total, device=keys.device)[:, None]
            else:
                seen = mask[..., start : start + block.shape[1]]
            hidden = products.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else products + seen
            yield start, hidden


@contextmanager
def probing(model: Any) -> Iterator[None]:
    """Let the model's forward pass take ``probe=``; ends quietly when the probe has seen enough.

    Only the thread that owns the model may do this.
    """
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    except Enough:
        pass
    finally:
        config._attn_implementation = before


def check_heads(config: Any, heads: Sequence[Head]) -> None:
    """Make sure that heads exist in a model.

    Args:
        config: The model's configuration.
        heads: The heads.

    Raises:
        InputError: If there are none, one is named twice, or one does not exist.
    """
    text = config.get_text_config()
    if not heads or len(set(heads)) < len(heads):
        raise InputError("Attention is read from at least one head, each named once.", "Check the list of heads.")
    for head in heads:
        if not (0 <= head.layer < text.num_hidden_layers and 0 <= head.head < text.num_attention_heads):
            size = f"{text.num_hidden_layers} layers of {text.num_attention_heads} heads"
            msg = f"There is no head {head.layer}-{head.head} in a model of {size}."
            raise InputError(msg, "Use the list of heads that was made for this model.")


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    probe: Probe,
    scaling: float | None = None,
    visible: Visible | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """SDPA, with the queries and keys shown to the probe first."""
    if found := [name for name in _UNKNOWN if options.get(name) is not None]:
        msg = f"Attention with {found[0]} cannot be read."
        raise ModelError(msg, "Use a plain attention model (Llama, Qwen2, Qwen3 or Gemma 3).")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    layer: Any = module.layer_idx
    attention_mask = seen_by(visible, module, query, key, attention_mask, options)
    probe.take(layer, query, key, attention_mask, scale)
    attend: Any = sdpa_attention_forward
    output: tuple[torch.Tensor, None] = attend(module, query, key, value, attention_mask, scaling=scaling, **options)
    return output
