"""Forward passes over batches of token ids; the only file that calls the torch model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache

from rereader.models import kv
from rereader.models.prefix import PrefixStore
from rereader.models.rendering import Rendered
from rereader.schema.errors import Interrupted, ModelError
from rereader.schema.events import Cancelled


@dataclass
class Batch:
    """Prompts that were read, rows aligned at their right edge.

    Args:
        cache: Keys and values of all rows.
        pads: Unused places on the left of each row, int64 [rows] on the CPU.
        logits: Logits after each row's last token, float32 [rows, vocabulary].
    """

    cache: Cache
    pads: torch.Tensor
    logits: torch.Tensor

    @property
    def width(self) -> int:
        """Places in use, pads included."""
        return kv.width(self.cache)

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each row, int64 [rows] on the CPU."""
        return self.width - self.pads


class Engine:
    """Reads prompts and continues them, with one model or with one copy per phase.

    Args:
        prefill_model: A causal language model of transformers for reading prompts and scoring.
        decode_model: The same weights, perhaps in another precision, for writing; by default the same object.
        prefixes: Where prefixes are kept.
        block_tokens: Most tokens (rows times columns) in one forward pass; bounds memory and the time to a stop.
    """

    def __init__(
        self,
        prefill_model: Any,
        decode_model: Any = None,
        prefixes: PrefixStore[kv.KVPrefix] | None = None,
        block_tokens: int = 1024,
    ) -> None:
        self.prefill_model = prefill_model.eval()
        self.decode_model = self.prefill_model if decode_model is None else decode_model.eval()
        self.prefixes = PrefixStore[kv.KVPrefix]() if prefixes is None else prefixes
        self.device = torch.device(prefill_model.device)
        self._block = block_tokens

    def prefill(self, prompts: Sequence[Rendered], cancelled: Cancelled) -> Batch:
        """Read the prompts, each on top of its kept prefix.

        A row whose rest is shorter than the longest one reads some of its prefix again, so that no unused places
        come to lie inside a row: sliding windows count places.
        """
        prefixes = self.prefixes.resolve(prompts, partial(self._extend, cancelled=cancelled))
        held = [0 if prefix is None else prefix.length for prefix in prefixes]
        sizes = [len(prompt.ids) for prompt in prompts]
        rest = max(size - length for size, length in zip(sizes, held, strict=True))
        take = [max(0, size - rest) for size in sizes]
        cache = kv.from_prefixes(prefixes, take)
        columns = [_padded(prompt.ids[count:], rest) for prompt, count in zip(prompts, take, strict=True)]
        total = max(take) + rest
        pads = torch.tensor([total - size for size in sizes])
        logits = self._read(self.prefill_model, cache, torch.tensor(columns), pads, cancelled)
        kv.check(cache, total)
        return Batch(cache, pads, logits[:, -1].float())

    def step(self, batch: Batch, tokens: torch.Tensor) -> None:
        """Append one token per row, int64 [rows], and put the next logits into the batch."""
        batch.cache = kv.convert(batch.cache, self.decode_model.dtype)
        logits = self._forward(self.decode_model, batch.cache, tokens[:, None], batch.pads, 1)
        batch.logits = logits[:, -1].float()

    def score(
        self, batch: Batch, rows: Sequence[int], continuations: Sequence[Sequence[int]], cancelled: Cancelled
    ) -> torch.Tensor:
        """Natural-log probability of each token of ``continuations[i]`` after row ``rows[i]`` of the batch.

        Returns:
            float32 [n, longest continuation] on the CPU, 0 beyond a continuation's end. The batch is left as it was.
        """
        longest = max(1, *map(len, continuations))
        result = torch.zeros(len(rows), longest)
        index = torch.tensor(rows)
        targets = torch.tensor([list(ids) + [0] * (longest - len(ids)) for ids in continuations])
        first = require_numbers(batch.logits.log_softmax(-1))
        result[:, 0] = first[index.to(self.device), targets[:, 0].to(self.device)].cpu()
        if longest > 1:
            cache = kv.select(batch.cache, index.to(self.device))
            self._score_rest(cache, batch.pads[index], targets, result, cancelled)
        inside = torch.arange(longest) < torch.tensor([len(ids) for ids in continuations])[:, None]
        return torch.where(inside, result, torch.zeros(()))

    def _score_rest(
        self,
        cache: Cache,
        pads: torch.Tensor,
        targets: torch.Tensor,
        result: torch.Tensor,
        cancelled: Cancelled,
    ) -> None:
        # A continuation's padding lies on the right, where the causal mask hides it from every real token.
        step = max(1, self._block // len(targets) // 8)
        for start in range(0, targets.shape[1] - 1, step):
            _stop_if(cancelled)
            part = targets[:, start : min(start + step, targets.shape[1] - 1)]
            logits = self._forward(self.prefill_model, cache, part, pads, part.shape[1])
            end = start + 1 + part.shape[1]
            result[:, start + 1 : end] = gather_logprobs(logits, targets[:, start + 1 : end])

    def _extend(
        self, prefix: kv.KVPrefix | None, length: int, ids: tuple[int, ...], cancelled: Cancelled
    ) -> kv.KVPrefix:
        cache = kv.from_prefixes([prefix], [length])
        self._read(self.prefill_model, cache, torch.tensor([ids]), torch.tensor([0]), cancelled)
        kv.check(cache, length + len(ids))
        return kv.snapshot(cache, length + len(ids))

    def _read(
        self, model: Any, cache: Cache, ids: torch.Tensor, pads: torch.Tensor, cancelled: Cancelled
    ) -> torch.Tensor:
        step = max(16, self._block // len(ids))
        for start in range(0, ids.shape[1], step):
            _stop_if(cancelled)
            logits = self._forward(model, cache, ids[:, start : start + step], pads, 1)
        return logits

    def _forward(self, model: Any, cache: Cache, ids: torch.Tensor, pads: torch.Tensor, keep: int) -> torch.Tensor:
        before = kv.width(cache)
        places = torch.arange(before + ids.shape[1])
        mask = places[None] >= pads[:, None] if bool(pads.any()) else None
        positions = (places[None, before:] - pads[:, None]).clamp(min=0)
        with torch.inference_mode():
            output = model(
                input_ids=ids.to(self.device),
                attention_mask=None if mask is None else mask.long().to(self.device),
                position_ids=positions.to(self.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=keep,
            )
        logits: torch.Tensor = output.logits
        return logits


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


def _padded(ids: Sequence[int], length: int) -> list[int]:
    return [0] * (length - len(ids)) + list(ids)


def _stop_if(cancelled: Cancelled) -> None:
    if cancelled():
        raise Interrupted("Stopped while the model was working.", "Resume the run to go on.")
