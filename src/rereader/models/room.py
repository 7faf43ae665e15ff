"""How much memory keys and values may take on a device, and how much is read in one go."""

from __future__ import annotations

from typing import Any

from rereader.schema.errors import InputError

_CPU_CACHE_BYTES = 1 << 30
_CPU_BLOCK_TOKENS = 1024
_CUDA_BLOCK_TOKENS = 16384


def block_tokens(device: str) -> int:
    """Most tokens in one forward pass on a kind of device (``cuda`` or ``cpu``)."""
    return _CUDA_BLOCK_TOKENS if device == "cuda" else _CPU_BLOCK_TOKENS


def require_room(config: Any, dtype: Any, device: Any, tokens: int) -> None:
    """Refuse to read so many tokens if their keys and values do not fit.

    Args:
        config: The model's configuration.
        dtype: Its torch dtype.
        device: The torch device that it runs on.
        tokens: How many.

    Raises:
        InputError: If they do not fit.
    """
    from rereader.models.kv import bytes_per_token

    needed, free = tokens * bytes_per_token(config, dtype), free_bytes(device)
    if needed > free:
        sizes = f"{needed / 1e9:.2f} GB of memory, {free / 1e9:.2f} GB are free"
        msg = f"Keys and values of {tokens:,} tokens take {sizes}."
        raise InputError(msg, "Use a smaller model, or less text at once.")


def cache_tokens(config: Any, dtype: Any, device: Any) -> int:
    """Most tokens whose keys and values are held at once."""
    from rereader.models.kv import bytes_per_token

    budget = int(free_bytes(device) * 0.4) if device.type == "cuda" else _CPU_CACHE_BYTES
    return max(1, budget // bytes_per_token(config, dtype))


def free_bytes(device: Any) -> int:
    """Bytes of memory that can be had on a device."""
    import torch

    from rereader.models.loading import available_bytes

    if device.type != "cuda":
        return available_bytes()
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + cached
