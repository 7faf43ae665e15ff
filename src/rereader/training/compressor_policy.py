"""Replies written from compressed memory, and the loss that makes rewarded ones more likely.

The gradient goes through the keys and values that the replies were read from, into the compressor that made them.
Group-relative advantage as in MemAgent (arXiv 2507.02259): a reply's reward less the mean of its group, not divided by
the spread; the loss is averaged over all tokens of a step. A step's replies are used for one update, at which the ratio
of new to old probabilities is 1, so that clipping it would change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rereader.models.memory_passes import Memory, Passes
from rereader.models.memory_tokens import Projections

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Replies to one question.

    Args:
        past: What they were read from, perhaps with gradients: one row.
        prompt: Tokens of the question, int64 [1, tokens].
        replies: Tokens of each reply.
        rewards: Of each reply.
    """

    past: Memory
    prompt: torch.Tensor
    replies: tuple[Ids, ...]
    rewards: tuple[float, ...]

    @property
    def advantages(self) -> dict[Ids, float]:
        """Advantage of each different reply, times how often it was given."""
        mean = sum(self.rewards) / len(self.rewards)
        found: dict[Ids, float] = {}
        for reply, reward in zip(self.replies, self.rewards, strict=True):
            found[reply] = found.get(reply, 0.0) + reward - mean
        return found

    @property
    def tokens(self) -> int:
        """Tokens of all replies."""
        return sum(map(len, self.replies))


@torch.no_grad()
def sample(
    passes: Passes,
    past: Memory,
    prompt: torch.Tensor,
    adapter: Projections | None,
    count: int,
    most: int,
    ends: frozenset[int],
    draws: torch.Generator,
    temperature: float = 1.0,
) -> list[Ids]:
    """Write replies.

    Args:
        passes: Forward passes of the model.
        past: What is read: one row.
        prompt: Tokens of the question, int64 [1, tokens].
        adapter: Projections of the reader.
        count: Replies.
        most: Most tokens of each.
        ends: Tokens that end one; the last token of a reply is such a one, unless it has ``most``.
        draws: Decides them.
        temperature: 0 writes the most likely one.
    """
    reading = passes.reader(past, adapter)
    logits = reading.more(prompt).expand(count, -1)
    reading.spread(count)
    replies: list[list[int]] = [[] for _ in range(count)]
    for place in range(most):
        chosen = _choose(logits, draws, temperature)
        for reply, token in zip(replies, chosen.tolist(), strict=True):
            if not reply or reply[-1] not in ends:
                reply.append(token)
        if place + 1 == most or all(reply[-1] in ends for reply in replies):
            break
        logits = reading.more(chosen[:, None])
    return [tuple(reply) for reply in replies]


def policy_loss(passes: Passes, groups: Sequence[Group], adapter: Projections | None) -> torch.Tensor | None:
    """Loss of a step's replies; ``None`` if no group has replies of different rewards."""
    total = sum(group.tokens for group in groups)
    parts = [part for group in groups if (part := _group_loss(passes, group, adapter)) is not None]
    return None if not parts else torch.stack(parts).sum() / total


def _group_loss(passes: Passes, group: Group, adapter: Projections | None) -> torch.Tensor | None:
    weights = {reply: weight for reply, weight in group.advantages.items() if weight}
    if not weights:
        return None
    log_probabilities = reply_log_probabilities(passes, group.past, group.prompt, list(weights), adapter)
    scale = torch.tensor(list(weights.values()), device=log_probabilities.device)
    return -(scale * log_probabilities).sum()


def reply_log_probabilities(
    passes: Passes, past: Memory, prompt: torch.Tensor, replies: Sequence[Ids], adapter: Projections | None
) -> torch.Tensor:
    """Natural log-probability of whole replies, float32 [replies], with gradients."""
    longest, before = max(map(len, replies)), prompt.shape[1]
    padded = torch.tensor([[*reply, *[0] * (longest - len(reply))] for reply in replies], device=prompt.device)
    ids = torch.cat((prompt.expand(len(replies), -1), padded[:, :-1]), 1)
    hidden = passes.read(past.rows(len(replies)), ids, adapter)[:, before - 1 :]
    logits = passes.logits(hidden).float().log_softmax(-1)
    chosen = logits.gather(-1, padded[..., None])[..., 0]
    lengths = torch.tensor([len(reply) for reply in replies], device=prompt.device)
    inside = torch.arange(longest, device=prompt.device) < lengths[:, None]
    return (chosen * inside).sum(-1)


def _choose(logits: torch.Tensor, draws: torch.Generator, temperature: float) -> torch.Tensor:
    """One token for each row of logits, int64 [rows]."""
    if temperature == 0:
        return logits.argmax(-1)
    odds = (logits.float() / temperature).softmax(-1).cpu()
    return torch.multinomial(odds, 1, generator=draws)[:, 0].to(logits.device)
