"""Next-token loss of what is read after a compressed text only: Activation Beacon (arXiv 2401.03462, section 3.3)."""

from __future__ import annotations

import torch
from torch.nn import functional

from rereader.models.memory_passes import Memory, Passes
from rereader.models.memory_tokens import MemoryTokens


def stretch_loss(
    passes: Passes,
    tokens: MemoryTokens,
    opening: Memory,
    ids: torch.Tensor,
    window: int,
    windows: int,
    ratio: float,
) -> tuple[torch.Tensor, int]:
    """Loss of stretches of text whose windows are compressed one after the other.

    Every window but the first, and the continuation, is read after the memory of what came before it; the first has
    none, so it gives no loss.

    Args:
        passes: Forward passes of the model.
        tokens: The compressor.
        opening: What stands before the text: one row.
        ids: The stretches, int64 [rows, tokens].
        window: Tokens of a window.
        windows: Windows to compress; the continuation is what follows them.
        ratio: Tokens for each memory token.

    Returns:
        The mean loss of a token (natural logarithm), and the number of tokens.
    """
    past = opening.rows(len(ids))
    losses: list[torch.Tensor] = []
    for number in range(windows):
        part = ids[:, number * window : (number + 1) * window]
        hidden, memory = passes.fold(past, part, tokens, ratio)
        if number:
            losses.append(token_losses(passes, hidden, part))
        past = past.then(memory)
    rest = ids[:, windows * window :]
    losses.append(token_losses(passes, passes.read(past, rest), rest))
    whole = torch.cat(losses)
    return whole.mean(), len(whole)


def token_losses(passes: Passes, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Loss of each token but the first of each row, from the states [rows, tokens, hidden] of the tokens themselves."""
    logits = passes.logits(hidden[:, :-1]).float()
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
