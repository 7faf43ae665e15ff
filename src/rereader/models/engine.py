"""Forward passes over batches of token ids; the only file that calls the torch model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import torch

from rereader.models import kv
from rereader.models.attention import Probe, Rows, check_heads, probing
from rereader.models.base import Head
from rereader.models.batch import Batch
from rereader.models.chunked import Watch, require_chunked, use_chunked
from rereader.models.context import Context
from rereader.models.kvread import Recaller
from rereader.models.logprobs import gather_logprobs, require_numbers
from rereader.models.prefix import PrefixStore
from rereader.models.recalled import Recalled
from rereader.models.rendering import Rendered
from rereader.models.shallow import Enough, UpTo, depth, layers
from rereader.models.visible import Visible
from rereader.schema.errors import InputError, Interrupted
from rereader.schema.events import Cancelled

MOST_QUERIES = 2048
"""Tokens after a text whose attention is read: they go through the model in one pass."""


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
        for model in (self.prefill_model, self.decode_model):
            use_chunked(model)
        self._block = block_tokens
        self._context: Context | None = None

    @cached_property
    def recaller(self) -> Recaller:
        """What puts compressed texts into caches.

        Raises:
            ModelError: If the keys of the model's family cannot be moved.
        """
        for model in (self.prefill_model, self.decode_model):
            require_chunked(model)
        return Recaller(self.prefill_model)

    def prefill(self, prompts: Sequence[Rendered], cancelled: Cancelled) -> Batch:
        """Read the prompts, each on top of its kept prefix; those with compressed texts apart from those without.

        A compressed text cannot be read again in part, so prompts with one are read together if as many tokens follow.
        """
        if len(prompts) == 1 and self._is_worth_going_on(prompts[0]):
            return self._go_on(prompts[0], cancelled)
        groups: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            groups.setdefault(len(prompt.ids) - prompt.memory.end if prompt.memory else 0, []).append(row)
        batches = [self._prefill([prompts[row] for row in rows], cancelled) for rows in groups.values()]
        batch, order = batches[0].joined(*batches[1:]), [row for rows in groups.values() for row in rows]
        if order != sorted(order):
            batch = batch.rows([order.index(row) for row in range(len(order))])
        return batch

    def _prefill(self, prompts: Sequence[Rendered], cancelled: Cancelled) -> Batch:
        """Read prompts, either all with compressed texts or none.

        A row whose rest is shorter than the longest one reads some of its prefix again, so that no unused places
        come to lie inside a row: sliding windows count places.
        """
        prefixes = self._prefixes(prompts, cancelled)
        sizes = [len(prompt.ids) for prompt in prompts]
        if prompts[0].memory:
            cache, take = self._recall(prompts, prefixes)
        else:
            held = [0 if prefix is None else prefix.length for prefix in prefixes]
            rest = max(size - length for size, length in zip(sizes, held, strict=True))
            take = [max(0, size - rest) for size in sizes]
            cache = kv.from_prefixes(prefixes, take)
        rest = max(size - count for size, count in zip(sizes, take, strict=True))
        columns = [_padded(prompt.ids[count:], rest) for prompt, count in zip(prompts, take, strict=True)]
        total = max(take) + rest
        pads = torch.tensor([total - size for size in sizes])
        logits = self._read(self.prefill_model, cache, torch.tensor(columns), pads, cancelled)
        kv.check(cache, total)
        return Batch(cache, pads, logits[:, -1].float())

    def _prefixes(self, prompts: Sequence[Rendered], cancelled: Cancelled) -> list[kv.KVPrefix | None]:
        """The kept beginning of each prompt, up to where compressed texts begin."""
        wanted = [
            replace(one, boundaries=(one.memory.start,) if one.memory.start else ()) if one.memory else one
            for one in prompts
        ]
        return self.prefixes.resolve(wanted, partial(self._extend, cancelled=cancelled))

    def _recall(
        self, prompts: Sequence[Rendered], prefixes: Sequence[kv.KVPrefix | None]
    ) -> tuple[kv.RoomyCache, list[int]]:
        """A cache of what stands before each prompt's rest, compressed texts included, and its length."""
        caches, ends = [], []
        for prompt, prefix in zip(prompts, prefixes, strict=True):
            assert prompt.memory is not None
            cache = kv.from_prefixes([prefix], [prompt.memory.start])
            self.recaller.put(cache, prompt.memory)
            caches.append(cache)
            ends.append(prompt.memory.end)
        return kv.merge(*caches), ends

    def read_texts(
        self, opening: Sequence[int], texts: Sequence[Sequence[int]], cancelled: Cancelled, watch: Watch | None = None
    ) -> kv.RoomyCache:
        """Read texts after the same opening, each on its own.

        Args:
            opening: Tokens that stand before each text; they are kept as a prefix.
            texts: Tokens of each text.
            cancelled: Whether to stop.
            watch: Is shown the queries and keys of the texts, those of padding included.

        Returns:
            Keys and values: a row for each text, aligned left; what stands after a shorter text does not count.
        """
        if watch is not None:
            require_chunked(self.prefill_model)
        start, longest = len(opening), max(map(len, texts))
        whole = Rendered((*opening, 0), (start,) if start else (), ())
        prefixes = self.prefixes.resolve([whole], partial(self._extend, cancelled=cancelled)) * len(texts)
        cache = kv.from_prefixes(prefixes, [start] * len(texts))
        rows = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts])
        # Padding on the right is hidden from every real token by the causal mask.
        self.read_on(cache, rows, cancelled, watch)
        return cache

    def read_on(
        self, cache: kv.RoomyCache, rows: torch.Tensor, cancelled: Cancelled, watch: Watch | None = None
    ) -> None:
        """Read more tokens, int64 [rows, tokens], after rows without unused places on the left."""
        pads = torch.zeros(len(rows), dtype=torch.int64)
        self._read(self.prefill_model, cache, rows, pads, cancelled, watch=watch)

    def read(
        self,
        ids: Sequence[int],
        boundaries: Sequence[int],
        cancelled: Cancelled,
        *,
        exact: bool = True,
        memory: Recalled | None = None,
        deepest: int | None = None,
    ) -> Context:
        """Read a text that questions will be put to, boundary by boundary like a prefix.

        It is kept until another one is read, which shares what it can up to a boundary; :meth:`prefill` of a single
        prompt goes on from it and gives what it would have given without.

        Args:
            ids: Tokens of the text.
            boundaries: Ascending lengths; the last one is that of the text.
            cancelled: Whether to stop.
            exact: Whether to share keys and values that are as the model made them; else those that are not.
            memory: Compressed texts that stand in the text; their ends are among the boundaries.
            deepest: The deepest layer whose attention will be asked for; nothing can be written after the text then.
        """
        wanted, ends, kept = tuple(ids), tuple(boundaries), self._context
        deepest = None if memory else depth(self.prefill_model, deepest)
        held = self.held(wanted, ends, exact=exact, deepest=deepest)
        deepest = kept.deepest if kept is not None and held else deepest
        self._context = None  # a stop in the middle leaves none
        cache = kv.empty_cache() if kept is None or not held else kept.cache
        kv.rewind(cache, held)
        if kept is not None and held < kept.memory_end:
            kv.forget_marks(cache)
        kept = None  # its keys and values go, unless they are shared, before new ones come
        for start, end in pairwise((held, *(end for end in ends if end > held))):
            if memory is not None and start == memory.start:
                self.recaller.put(cache, memory)
            else:
                self._read_text(cache, wanted[start:end], deepest, cancelled)
        kv.check(cache, len(wanted))
        self._context = Context(wanted, ends, cache, exact or not held, memory.end if memory else 0, deepest)
        return self._context

    def take_up(self, ids: Sequence[int], cache: kv.RoomyCache, *, exact: bool, deepest: int | None = None) -> None:
        """Make a text that was read earlier in one go, with its keys and values, the last one."""
        kv.check(cache, len(ids))
        self._context = Context(tuple(ids), (len(ids),), cache, exact, deepest=deepest)

    def held(
        self, ids: Sequence[int], boundaries: Sequence[int], *, exact: bool = True, deepest: int | None = None
    ) -> int:
        """Tokens that a text would share with the last one, if that was read as deep."""
        if self._context is None or self._context.exact != exact or not self._context.reaches(deepest):
            return 0
        return self._context.shared(tuple(ids), tuple(boundaries))

    def more_tokens(self, length: int, deepest: int | None = None) -> int:
        """Tokens in all layers that take as much as a text needs beyond what the last one lets go of."""
        free = self._context.length * len(self._context.cache.layers) if self._context else 0
        return -((free - length * layers(self.prefill_model, deepest)) // layers(self.prefill_model, None))

    def forget(self) -> None:
        """Let go of the last text."""
        self._context = None

    def attend(self, context: Context, ids: Sequence[int], heads: Sequence[Head], meant: slice = slice(None)) -> Rows:
        """Where tokens put after a text look, by chosen heads; the text is left as it was.

        Args:
            context: The text.
            ids: The tokens.
            heads: The heads.
            meant: Range of ``ids`` that a head's mean is over.

        Returns:
            Rows over the text's tokens and then ``ids`` themselves.

        Raises:
            InputError: If a head does not exist, or there are no tokens or more than ``MOST_QUERIES``.
            ModelError: If the model's attention cannot be read.
        """
        check_heads(self.prefill_model.config, heads)
        if not 0 < len(ids) <= MOST_QUERIES:
            msg = f"Attention is read from 1 to {MOST_QUERIES:,} tokens after the text, not {len(ids):,}."
            raise InputError(msg, "Mark the segment with which the text ends as cacheable, and ask a shorter question.")
        probe = Probe(heads, meant)
        tokens, unpadded = torch.tensor([list(ids)]), torch.tensor([0])
        context.rewind()
        try:
            with probing(self.prefill_model):
                self._forward(self.prefill_model, context.cache, tokens, unpadded, 1, probe=probe)
        finally:
            context.rewind()
        return probe.rows()

    def _is_worth_going_on(self, prompt: Rendered) -> bool:
        """Whether the last text holds most of what a prompt keeps: to go on drops what the text has after that."""
        length = prompt.boundaries[-1] if prompt.boundaries else 0
        return 0 < length <= 2 * self.held(prompt.ids, prompt.boundaries)

    def _go_on(self, prompt: Rendered, cancelled: Cancelled) -> Batch:
        """A batch of the one row that goes on from the last text, in its cache."""
        length, unpadded = prompt.boundaries[-1], torch.tensor([0])
        context = self.read(prompt.ids[:length], prompt.boundaries, cancelled, memory=prompt.memory)
        logits = self._read(self.prefill_model, context.cache, torch.tensor([prompt.ids[length:]]), unpadded, cancelled)
        return Batch(context.cache, unpadded, logits[:, -1].float())

    def own(self, batch: Batch) -> None:
        """Give a batch a cache of its own, if it goes on in that of the last text; other prompts may need that one."""
        if self._context is not None and batch.cache is self._context.cache:
            batch.cache = kv.select(batch.cache, torch.arange(len(batch.pads), device=self.device))

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
            # A continuation's padding lies on the right, where the causal mask hides it from every real token.
            cache = kv.select(batch.cache, index.to(self.device))
            for start, logits in self._blocks(cache, targets[:, :-1], batch.pads[index], cancelled):
                wanted = targets[:, start + 1 : start + 1 + logits.shape[1]]
                result[:, start + 1 : start + 1 + logits.shape[1]] = gather_logprobs(logits, wanted)
        inside = torch.arange(longest) < torch.tensor([len(ids) for ids in continuations])[:, None]
        return torch.where(inside, result, torch.zeros(()))

    def logits(self, ids: torch.Tensor, first: int, cancelled: Cancelled) -> Iterator[tuple[int, torch.Tensor]]:
        """Read rows of one length, int64 [rows, tokens], and yield the logits after their tokens, block by block.

        Args:
            ids: The rows.
            first: Tokens before it yield nothing.
            cancelled: Whether to stop.

        Yields:
            The place of a block's first token, and the logits after its tokens [rows, tokens of the block, vocabulary].
        """
        cache, pads = kv.empty_cache(), torch.zeros(len(ids), dtype=torch.long)
        if first:
            self._read(self.prefill_model, cache, ids[:, :first], pads, cancelled)
        for start, logits in self._blocks(cache, ids[:, first:], pads, cancelled):
            yield first + start, logits
        kv.check(cache, ids.shape[1])

    def _blocks(
        self, cache: kv.RoomyCache, ids: torch.Tensor, pads: torch.Tensor, cancelled: Cancelled
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Read rows of one length; the start of each block of columns, and the logits after its tokens."""
        step = max(1, self._block // len(ids) // 8)
        for start in range(0, ids.shape[1], step):
            _stop_if(cancelled)
            part = ids[:, start : start + step]
            yield start, self._forward(self.prefill_model, cache, part, pads, part.shape[1])

    def _extend(
        self, prefix: kv.KVPrefix | None, length: int, ids: tuple[int, ...], cancelled: Cancelled
    ) -> kv.KVPrefix:
        cache = kv.from_prefixes([prefix], [length])
        self._read(self.prefill_model, cache, torch.tensor([ids]), torch.tensor([0]), cancelled)
        kv.check(cache, length + len(ids))
        return kv.snapshot(cache, length + len(ids))

    def _read(
        self,
        model: Any,
        cache: kv.RoomyCache,
        ids: torch.Tensor,
        pads: torch.Tensor,
        cancelled: Cancelled,
        **options: Any,
    ) -> torch.Tensor:
        step = max(16, self._block // len(ids))
        for start in range(0, ids.shape[1], step):
            _stop_if(cancelled)
            logits = self._forward(model, cache, ids[:, start : start + step], pads, 1, **options)
        return logits

    def _read_text(self, cache: kv.RoomyCache, ids: Sequence[int], deepest: int | None, cancelled: Cancelled) -> None:
        """Read tokens of a text, as deep as is wanted."""
        rows, unpadded = torch.tensor([ids]), torch.tensor([0])
        if deepest is None:
            self._read(self.prefill_model, cache, rows, unpadded, cancelled)
            return
        for start in range(0, len(ids), self._block):
            _stop_if(cancelled)
            with suppress(Enough):
                part = rows[:, start : start + self._block]
                self._forward(self.prefill_model, cache, part, unpadded, 1, watch=UpTo(deepest))

    def _forward(
        self, model: Any, cache: kv.RoomyCache, ids: torch.Tensor, pads: torch.Tensor, keep: int, **options: Any
    ) -> torch.Tensor:
        before = kv.width(cache)
        places = torch.arange(before + ids.shape[1])
        mask = places[None] >= pads[:, None] if bool(pads.any()) else None
        positions = (places[None, before:] - pads[:, None]).clamp(min=0)
        if cache.shifts is not None:
            positions += cache.shifts[:, None]
        if any(marks is not None for marks in cache.marks):
            shifts = torch.zeros_like(pads) if cache.shifts is None else cache.shifts
            options["visible"] = Visible(cache.marks, *(part.to(self.device) for part in (pads, shifts, positions)))
        with torch.inference_mode():
            output = model(
                input_ids=ids.to(self.device),
                attention_mask=None if mask is None else mask.long().to(self.device),
                position_ids=positions.to(self.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=keep,
                **options,
            )
        logits: torch.Tensor = output.logits
        return logits


def _padded(ids: Sequence[int], length: int) -> list[int]:
    return [0] * (length - len(ids)) + list(ids)


def _stop_if(cancelled: Cancelled) -> None:
    if cancelled():
        raise Interrupted("Stopped while the model was working.", "Resume the run to go on.")
