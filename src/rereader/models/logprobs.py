"""Log-probabilities from logits."""

from __future__ import annotations

import torch

from rereader.schema.errors import ModelError


def gather_logprobs(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Natural-log probabilities of ``targets`` [rows, tokens] under ``logits`` [rows, tokens, vocabulary].

    Returns:
        float32 [rows, tokens] on the CPU.

    Raises:
        ModelError: If the logits are not numbers.
    """
    wide = logits.float()
    chosen = wide.gather(-1, targets.to(wide.device)[..., None])[..., 0]
    return require_numbers(chosen - wide.logsumexp(-1)).cpu()


def require_numbers(values: torch.Tensor) -> torch.Tensor:
    """The values unchanged.

    Raises:
        ModelError: If any of them is not a number.
    """
    if bool(values.isnan().any()):
        raise ModelError(
            "The model produced logits that are not numbers.",
            "Load it in float32, or check that its files are complete.",
        )
    return values
