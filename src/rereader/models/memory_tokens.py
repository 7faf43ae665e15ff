"""Memory tokens: what a learned compressor adds to a language model, whose own weights stay as they are.

After every few tokens of a text comes a memory token. It has an embedding of its own and, in every layer, query, key
and value projections of its own, which begin as copies of the model's; only its keys and values are kept. Activation
Beacon (arXiv 2401.03462, section 3), which LycheeMemory (arXiv 2602.08382) builds on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from rereader.models.rotation import FAMILIES
from rereader.schema.errors import InputError, ModelError

KINDS = ("q", "k", "v")
Start = Literal["token", "end"]
STARTS: tuple[Start, ...] = ("token", "end")


class Projection(nn.Module):
    """A linear map that begins as a copy of the model's, or as the model's with a low-rank change of zero.

    Args:
        base: The model's projection.
        rank: Rank of the change (LoRA, arXiv 2106.09685); 0 copies the whole matrix.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.rank = rank
        if rank == 0:
            self.weight = nn.Parameter(base.weight.detach().float().clone())
            self.bias = None if base.bias is None else nn.Parameter(base.bias.detach().float().clone())
        else:
            down = torch.empty(rank, base.in_features, device=base.weight.device)
            self.down = nn.Parameter(nn.init.kaiming_uniform_(down, a=5**0.5))
            self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))

    def forward(self, states: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
        """Project states [..., in]; ``usual`` [..., out] is what the model's own projection makes of them."""
        wide = states.float()
        if self.rank == 0:
            return functional.linear(wide, self.weight, self.bias).to(usual.dtype)
        change = functional.linear(functional.linear(wide, self.down), self.up)
        return usual + change.to(usual.dtype)


class Projections(nn.Module):
    """Query, key and value projections for some tokens, in every layer of a model.

    Args:
        model: A causal language model of transformers.
        rank: See :class:`Projection`.

    Raises:
        ModelError: If the model is of another family, or its weights are quantised.
    """

    def __init__(self, model: Any, rank: int = 0) -> None:
        super().__init__()
        if rank < 0:
            raise InputError("A rank is not negative.", "Use 0 for whole matrices, or 4 to 64.")
        layers = [nn.ModuleDict({kind: Projection(one, rank) for kind, one in found}) for found in _linear(model)]
        self.layers = nn.ModuleList(layers)


class MemoryTokens(Projections):
    """The trained part of a compressor.

    Args:
        model: A causal language model of transformers.
        rank: See :class:`Projection`.
        start: What a memory token is before training: ``end`` is the token that ends a text (as published), ``token``
            (ours) the last token of its group once more, so that it begins by keeping that token.
        end: The token that ends a text.
    """

    def __init__(self, model: Any, rank: int = 0, start: Start = "token", end: int = 0) -> None:
        super().__init__(model, rank)
        self.start = start
        with torch.no_grad():
            first = model.get_input_embeddings()(torch.tensor([end], device=model.device))[0].float()
        self.embedding = nn.Parameter(first.clone() if start == "end" else torch.zeros_like(first))

    def inputs(self, states: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """What memory tokens are put into the first layer as.

        Args:
            states: Embeddings of a window's tokens [rows, tokens, hidden].
            ends: Where the groups end, int64 [groups].

        Returns:
            [rows, groups, hidden].
        """
        own = self.embedding.to(states.dtype)
        if self.start == "token":
            return states[:, ends - 1] + own
        return own.expand(len(states), len(ends), -1)


class Taken:
    """Keys, before they are rotated, and values of some tokens of a forward pass.

    Args:
        layers: Layers of the model.
    """

    def __init__(self, layers: int) -> None:
        self.keys: list[torch.Tensor | None] = [None] * layers
        self.values: list[torch.Tensor | None] = [None] * layers

    def pairs(self) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        """Per layer keys and values [rows, key heads, tokens, size].

        Raises:
            ModelError: If not every layer came by.
        """
        found = [(k, v) for k, v in zip(self.keys, self.values, strict=True) if k is not None and v is not None]
        if len(found) != len(self.keys):
            raise ModelError("The model does not show its keys and values.", "Use a Llama, Qwen2, Qwen3 or Gemma 3.")
        return tuple(found)


@contextmanager
def projecting(model: Any, own: Projections | None, places: torch.Tensor | None, taken: Taken) -> Iterator[None]:
    """Let tokens at some places go through projections of their own, and take their keys and values.

    Only the thread that owns the model may do this.

    Args:
        model: A causal language model of transformers.
        own: Their projections; ``None`` for the model's.
        places: Columns of the pass, int64 [n]; ``None`` for all.
        taken: Where their keys and values go.
    """
    with ExitStack() as stack:
        for number, layer in enumerate(model.get_decoder().layers):
            for kind in KINDS:
                change = None if own is None else own.layers[number][kind]  # type: ignore[index]
                hook = _Hook(layer.self_attn, number, kind, change, places, taken)
                handle = getattr(layer.self_attn, f"{kind}_proj").register_forward_hook(hook)
                stack.callback(handle.remove)
        yield


class _Hook:
    """Stands behind one projection of one layer for a forward pass."""

    def __init__(
        self, attention: Any, layer: int, kind: str, change: Any, places: torch.Tensor | None, taken: Taken
    ) -> None:
        self._attention, self._layer, self._kind = attention, layer, kind
        self._change, self._places, self._taken = change, places, taken

    def __call__(self, _module: nn.Module, inputs: tuple[torch.Tensor, ...], usual: torch.Tensor) -> torch.Tensor:
        places = self._places
        here = usual if places is None else usual[:, places]
        if self._change is not None:
            here = self._change(inputs[0] if places is None else inputs[0][:, places], here)
            usual = here if places is None else usual.index_copy(1, places, here)
        if self._kind != "q":
            self._take(here)
        return usual

    def _take(self, states: torch.Tensor) -> None:
        split = states.reshape(*states.shape[:-1], -1, self._attention.head_dim)
        if self._kind == "v":
            self._taken.values[self._layer] = split.transpose(1, 2)
            return
        norm = getattr(self._attention, "k_norm", None)
        normed = split if norm is None else norm(split)
        self._taken.keys[self._layer] = normed.transpose(1, 2)


def _linear(model: Any) -> Iterator[list[tuple[str, nn.Linear]]]:
    """Per layer the model's own projections."""
    kind = model.config.get_text_config().model_type
    if kind not in FAMILIES:
        msg = f"Memory tokens do not work with a model of the family {kind}."
        raise ModelError(msg, "Use a model of the families Llama (SmolLM2), Qwen2, Qwen3 or Gemma 3.")
    for layer in model.get_decoder().layers:
        found = [(name, getattr(layer.self_attn, f"{name}_proj")) for name in KINDS]
        if not all(type(one) is nn.Linear and one.weight.is_floating_point() for _, one in found):
            raise ModelError("Memory tokens do not work with quantised weights.", "Load the model in float32.")
        yield found
