"""Weights in 8 or 4 bits, by bitsandbytes: a model that does not fit onto a card in half precision may fit so.

Layers are quantised while they load, from the checkpoint as it is; embedding and head stay in half precision. 8 bits
are LLM.int8() (arXiv 2208.07339), 4 bits are NF4 with doubly quantised constants (QLoRA, arXiv 2305.14314).
"""

from __future__ import annotations

import importlib.util
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from rereader.models.hub_kernels import no_hub_kernels
from rereader.schema.errors import MissingExtra

if TYPE_CHECKING:
    import torch

Bits = Literal["8bit", "4bit"]
QUANTISED: tuple[Bits, ...] = ("8bit", "4bit")


def is_quantised(dtype: str) -> TypeGuard[Bits]:
    """Whether a precision is one of those that this module makes."""
    return dtype in QUANTISED


def require_quantised() -> None:
    """Make sure that weights can be quantised; imports nothing.

    Raises:
        MissingExtra: If bitsandbytes or accelerate is not installed.
    """
    if not all(importlib.util.find_spec(package) for package in ("bitsandbytes", "accelerate")):
        raise MissingExtra("Loading weights in 8 or 4 bits", "quantised")


def identify(weights: str, bits: Bits) -> str:
    """Identifies quantised weights by the checksum of the plain ones, the form, and what made it."""
    return f"{weights}+{bits}+bitsandbytes-{version('bitsandbytes')}"


def load_quantised(path: Any, bits: Bits, dtype: torch.dtype, device: str, **options: Any) -> Any:
    """A causal language model with quantised layers on the device.

    Args:
        path: The model's folder, with plain weights.
        bits: How far to quantise.
        dtype: Precision of everything else, and of 4-bit products.
        device: Torch device.
        options: What ``from_pretrained`` is told besides.

    Raises:
        MissingExtra: If bitsandbytes or accelerate is not installed.
        ModelError: If the folder lacks weights.
    """
    require_quantised()
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from rereader.models.casting import check_whole

    # Says for every layer of every call that it casts to float16, which is how LLM.int8() works.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    make: Any = BitsAndBytesConfig
    if bits == "8bit":
        config = make(load_in_8bit=True)
    else:
        config = make(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    auto: Any = AutoModelForCausalLM
    place = {"device_map": {"": device}, "output_loading_info": True}
    with no_hub_kernels():
        model, info = auto.from_pretrained(path, quantization_config=config, dtype=dtype, **place, **options)
    check_whole(path, info)
    _leave_unpacked(model)
    return model


def _leave_unpacked(model: Any) -> None:
    """Keep 4-bit layers as they were made.

    On CPUs with bfloat16 units bitsandbytes packs their weights anew at the first call, which fails for widths that are
    no multiple of its blocks, and multiplies in 16 bits whatever precision was asked for.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
