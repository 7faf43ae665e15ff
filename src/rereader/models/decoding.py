"""The decode loop: rows that finish make room for waiting prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rereader.models import kv
from rereader.models.base import Generation, Sampling
from rereader.models.batch import Batch
from rereader.models.batching import by_length, is_out_of_memory, out_of_memory
from rereader.models.engine import Engine
from rereader.models.logprobs import gather_logprobs
from rereader.models.rendering import Rendered
from rereader.models.reply import Reply
from rereader.models.seeds import prompt_seed
from rereader.schema.errors import Interrupted
from rereader.schema.events import Cancelled


@dataclass(frozen=True)
class Slots:
    """How many rows may be written at once, and how many prompts are read at once.

    Args:
        prefill: Most prompts in one prefill.
        decode: Most rows in the decode loop.
        tokens: Most places (rows times the longest row with its reply) in the cache.
    """

    prefill: int
    decode: int
    tokens: int


@dataclass
class Row:
    """A reply in the making."""

    index: int
    prompt: Rendered
    reply: Reply
    generator: torch.Generator | None


class Decoder:
    """Writes replies for one call.

    Prompts are taken longest first. When at most half of the slots are busy, the next waiting prompts are read and
    join the rows in progress, so that one long reply does not hold up the rest. The order depends on the prompts and
    the replies alone. When memory runs out the unfinished prompts start again with half the slots.

    Args:
        engine: The model.
        sampling: How to write; shared by all prompts of the call.
        new_reply: Begins a reply.
        cancelled: Whether to stop.
    """

    def __init__(
        self,
        engine: Engine,
        sampling: Sampling,
        new_reply: Callable[[], Reply],
        cancelled: Cancelled,
    ) -> None:
        self._engine = engine
        self._sampling = sampling
        self._new_reply = new_reply
        self._cancelled = cancelled

    def run(self, prompts: Sequence[Rendered], slots: Slots) -> list[Generation]:
        """Reply to each prompt, in order.

        Raises:
            Interrupted: If the caller asked to stop.
            ModelError: If a single prompt does not fit into memory, or the logits are not numbers.
        """
        done: dict[int, Generation] = {}
        while len(done) < len(prompts):
            try:
                self._fill(prompts, slots, done)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if slots.decode == 1:
                    raise out_of_memory() from error
                slots = Slots(max(1, slots.prefill // 2), slots.decode // 2, slots.tokens)
        return [done[index] for index in range(len(prompts))]

    def _fill(self, prompts: Sequence[Rendered], slots: Slots, done: dict[int, Generation]) -> None:
        order = by_length([len(prompt.ids) for prompt in prompts])
        waiting = [self._row(index, prompts[index]) for index in order if index not in done]
        rows: list[Row] = []
        batch: Batch | None = None
        while waiting or rows:
            joining = self._next(waiting, rows, slots)
            if joining:
                del waiting[: len(joining)]
                batch = self._join(batch, joining)
                rows += joining
            assert batch is not None
            batch, rows = self._advance(batch, rows, done)

    def _next(self, waiting: list[Row], rows: list[Row], slots: Slots) -> list[Row]:
        if not waiting or len(rows) > slots.decode // 2:
            return []
        longest = max(len(row.prompt.ids) for row in [waiting[0], *rows]) + self._sampling.max_new_tokens
        free = min(slots.decode, slots.tokens // longest) - len(rows)
        return waiting[: max(min(free, slots.prefill), 0 if rows else 1)]

    def _join(self, batch: Batch | None, joining: list[Row]) -> Batch:
        if batch is not None:
            self._engine.own(batch)
        fresh = self._engine.prefill([row.prompt for row in joining], self._cancelled)
        if batch is None:
            return fresh
        fresh.cache = kv.convert(fresh.cache, self._engine.decode_model.dtype)
        batch.cache = kv.convert(batch.cache, self._engine.decode_model.dtype)
        return batch.joined(fresh)

    def _advance(self, batch: Batch, rows: list[Row], done: dict[int, Generation]) -> tuple[Batch | None, list[Row]]:
        if self._cancelled():
            raise Interrupted("Stopped while the model was writing.", "Resume the run to go on.")
        tokens = self._pick(batch.logits, rows)
        logprobs = gather_logprobs(batch.logits[:, None], tokens[:, None])[:, 0]
        for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
            row.reply.take(token, logprob)
            if row.reply.finish is not None:
                done[row.index] = row.reply.result(len(row.prompt.ids))
        going = [place for place, row in enumerate(rows) if row.reply.finish is None]
        if not going:
            return None, []
        if len(going) < len(rows):
            batch = batch.rows(going)
        self._engine.step(batch, tokens[going])
        return batch, [rows[place] for place in going]

    def _pick(self, logits: torch.Tensor, rows: list[Row]) -> torch.Tensor:
        if self._sampling.temperature == 0:
            return logits.argmax(-1).cpu()
        drawn = [float(torch.rand((), generator=row.generator, dtype=torch.float64)) for row in rows]
        return sample(logits, self._sampling.temperature, torch.tensor(drawn, dtype=torch.float64))

    def _row(self, index: int, prompt: Rendered) -> Row:
        generator = None
        if self._sampling.temperature > 0:
            generator = torch.Generator().manual_seed(prompt_seed(self._sampling.seed, prompt.ids))
        return Row(index, prompt, self._new_reply(), generator)


def sample(logits: torch.Tensor, temperature: float, drawn: torch.Tensor) -> torch.Tensor:
    """Sample by inverting the cumulative distribution, so that rounding hardly ever changes the token.

    Args:
        logits: float32 [rows, vocabulary].
        temperature: Above 0.
        drawn: One uniform number in [0, 1) per row, float64 [rows].

    Returns:
        int64 [rows] on the CPU.
    """
    total = (logits.double() / temperature).softmax(-1).cumsum(-1)
    aims = drawn.to(total.device)[:, None] * total[:, -1:]
    return torch.searchsorted(total, aims, right=True)[:, 0].clamp(max=logits.shape[-1] - 1).cpu()
