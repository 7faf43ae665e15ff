"""Model calls of a run: budget reserved first, cache asked second, model last; each call is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from rereader.agents.call_log import CallLog
from rereader.memory.calls import CallCache, call_key
from rereader.memory.replies import (
    TokenScores,
    pack_floats,
    pack_generation,
    pack_scores,
    unpack_floats,
    unpack_generation,
    unpack_scores,
)
from rereader.memory.runs import Call
from rereader.models.base import (
    Cancel,
    Float32Array,
    Generation,
    Head,
    LanguageModel,
    Prompt,
    Sampling,
    TextFile,
)
from rereader.models.kvmemory import Compression, KVMemory
from rereader.models.loss_windows import tokens_read
from rereader.prompts.loader import Piece, SlotValue, Template, as_pieces, prompt_sha256, references
from rereader.prompts.openings import OPENING, compressing, opening_digest
from rereader.schema import RereaderError
from rereader.tools.attended import Cue


@dataclass(frozen=True)
class Request:
    """A template and what fills it."""

    template: Template
    slots: Mapping[str, SlotValue]

    @property
    def prompt(self) -> Prompt:
        """The rendered prompt."""
        return self.template.render(**self.slots)


T = TypeVar("T")
Run = Callable[[Sequence[int], Cancel], Sequence[T]]
"""Calls the model for the positions that no reply was found for, until told to stop."""
Pack = Callable[[T], bytes]
"""What of a result is stored."""
Settle = Callable[[int, bytes, bool], None]
"""Charges and writes down the reply to the request at a position; told whether it came from the cache."""
Storing = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class _Batch:
    """Rendered prompts and the tokens that each costs to read."""

    prompts: list[Prompt]
    sizes: list[int]


class Caller:
    """One role's model inside a run.

    Every method is one batch: ``serial_depth`` grows by one for each, since its calls do not depend on one another.
    Batches are fixed by their inputs before the cache is read.

    Args:
        role: The role.
        model: Its model.
        cache: Where replies are kept.
        log: What is charged.
        storing: What is stored and charged inside is kept together, or not at all.
    """

    def __init__(
        self, role: str, model: LanguageModel, cache: CallCache, log: CallLog, storing: Storing = nullcontext
    ) -> None:
        self.role = role
        self.model = model
        self._cache = cache
        self._log = log
        self._storing = storing

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """Reply to each request.

        Raises:
            BudgetSpent: If the whole batch does not fit the budget; then no model is called.
        """
        settings = {
            "max_new_tokens": sampling.max_new_tokens,
            "stop": list(sampling.stop),
            "temperature": sampling.temperature,
            "seed": sampling.seed,
        }

        def run(todo: Sequence[int], stop: Cancel) -> list[Generation]:
            prompts = [batch.prompts[i] for i in todo]
            started = self._begin()
            replies = self.model.generate(prompts, sampling, stop)
            self._note("generate", batch, todo, started, sum(reply.completion_tokens for reply in replies))
            return replies

        def settle(i: int, reply: bytes, cached: bool) -> None:
            said = unpack_generation(reply)
            tokens = said.prompt_tokens, said.completion_tokens
            self._charge(*tokens, cached=cached)
            self._record("generate", requests[i], said.text, *tokens, cached=cached)

        batch = self._batch(requests)
        every = [settings] * len(requests)
        replies = self._replies("generate", batch, every, sampling.max_new_tokens, run, pack_generation, settle)
        return [unpack_generation(reply) for reply in replies]

    def choose(self, requests: Sequence[Request], options: Sequence[str], null: Request | None = None) -> Float32Array:
        """Log-probability of each option for each request: float32 [n, k]; see ``LanguageModel.choose``."""
        null_prompt = null.prompt if null else None
        settings = {"options": list(options), "null": prompt_sha256(null_prompt) if null_prompt else ""}

        def run(todo: Sequence[int], stop: Cancel) -> list[Float32Array]:
            prompts = [batch.prompts[i] for i in todo]
            started = self._begin()
            rows = self.model.choose(prompts, options, null_prompt, stop)
            self._note("score", batch, todo, started)
            return list(rows)

        batch = self._batch(requests)
        if null_prompt and batch.sizes:
            batch.sizes[0] += self.model.prompt_tokens([null_prompt])[0]
        return self._scores("choose", requests, batch, [settings] * len(requests), run)

    def log_likelihood(self, requests: Sequence[Request], continuations: Sequence[str]) -> Float32Array:
        """Log-probability of ``continuations[i]`` after request ``i``: float32 [n]."""

        def run(todo: Sequence[int], stop: Cancel) -> list[Float32Array]:
            prompts, wanted = [batch.prompts[i] for i in todo], [continuations[i] for i in todo]
            started = self._begin()
            values = self.model.log_likelihood(prompts, wanted, stop)
            self._note("score", batch, todo, started)
            return [values[i : i + 1] for i in range(len(todo))]

        batch = self._batch(requests)
        added = self.model.count_tokens(continuations)
        batch.sizes[:] = [size + more for size, more in zip(batch.sizes, added, strict=True)]
        settings = [{"continuation": continuation} for continuation in continuations]
        return self._scores("log_likelihood", requests, batch, settings, run).reshape(-1)

    def look(
        self,
        request: Request,
        slot: str,
        heads: Sequence[Head],
        cue: Cue,
        keep: TextFile | None = None,
        *,
        whole: bool = False,
    ) -> TokenScores:
        """How much each token of a slot's pieces is looked at by what follows the prompt's last cacheable piece.

        Args:
            request: The prompt; its slot ``question`` holds the question.
            slot: The slot.
            heads: The heads that look, as if they were one.
            cue: Which of the tokens that follow count.
            keep: Where the text is kept for other processes.
            whole: Whether the model will write after the text, too.

        Raises:
            BudgetSpent: If the prompt does not fit the budget.
        """
        batch = self._batch([request])
        places, asked = (request.template.places(name, request.slots) for name in (slot, "question"))

        def run(_: Sequence[int], stop: Cancel) -> list[TokenScores]:
            started = self._begin()
            found = self.model.attention(batch.prompts[0], heads, stop, keep, whole=whole)
            row = cue.of(found, [found.ranges[place] for place in asked])
            scores = TokenScores(tuple(row[slice(*found.ranges[place])] for place in places), found.read)
            self._log.note("score", self.model.name, started + self.model.idle, amount=found.read, calls=1)
            return [scores]

        settings: dict[str, Any] = {"heads": [list(head) for head in heads], "cue": cue.name, "slot": slot}
        if keep is not None and keep.precision != "exact":
            settings["precision"] = keep.precision

        def settle(_: int, reply: bytes, cached: bool) -> None:
            scores = unpack_scores(reply)
            self._charge(scores.read, 0, cached=cached)
            self._record("look", request, f"{len(scores.texts)} texts", scores.read, 0, cached=cached)

        [reply] = self._replies("look", batch, [settings], 0, run, pack_scores, settle)
        return unpack_scores(reply)

    def losses(self, request: Request, lengths: Sequence[int]) -> Float32Array:
        """Loss of each token of the slot ``text`` after contexts of several lengths: float32 [lengths, tokens].

        The bare texts of the slots ``before`` and ``text`` go through the model, with nothing around them.

        Raises:
            BudgetSpent: If the tokens that are read do not fit the budget.
        """
        before, text = ([piece.text for piece in as_pieces(request.slots[slot])] for slot in ("before", "text"))
        first = sum(map(len, self.model.token_ids(before)))
        ids = [token for found in self.model.token_ids([*before, *text]) for token in found]
        batch = _Batch([request.prompt], [tokens_read(len(ids), lengths, first)])

        def run(todo: Sequence[int], stop: Cancel) -> list[Float32Array]:
            started = self._begin()
            found = self.model.token_losses(ids, lengths, first, stop)
            self._note("score", batch, todo, started)
            return [found[:, first:].reshape(-1)]

        def settle(_: int, reply: bytes, cached: bool) -> None:
            self._charge(batch.sizes[0], 0, cached=cached)
            self._record("losses", request, f"{len(ids) - first} tokens", batch.sizes[0], 0, cached=cached)

        settings = {"lengths": list(lengths), "first": first}
        [reply] = self._replies("losses", batch, [settings], 0, run, pack_floats, settle)
        return unpack_floats(reply).reshape(len(lengths), -1)

    def compress(self, texts: Sequence[Piece], compression: Compression) -> list[KVMemory]:
        """Compress texts, each on its own, after the opening of the prompts that read them.

        No cache is asked: what is made belongs in the bank, which is asked first.

        Raises:
            BudgetSpent: If the texts do not fit the budget.
        """
        prompts = [compressing(text) for text in texts]
        batch, meter = _Batch(prompts, self.model.compress_tokens(prompts, compression)), self._log.meter
        meter.reserve(tokens=sum(batch.sizes), calls=len(prompts))
        started = self._begin()
        try:
            with self._log.stopping() as stop:
                blocks = self.model.compress_kv(prompts, compression, stop)
        except BaseException:
            meter.refund(tokens=sum(batch.sizes))
            raise
        for text in self.model.notices():
            self._log.warn(text)
        self._note("score", batch, range(len(prompts)), started)
        self._log.usage.serial_depth += 1
        how = f"{OPENING}@{opening_digest()}"
        for piece, prompt, size, block in zip(texts, prompts, batch.sizes, blocks, strict=True):
            self._charge(size, 0, cached=False)
            told = (how, references({"text": [piece]}), prompt_sha256(prompt))
            self._log.calls.append(Call(self.role, "compress", *told, block.digest, size, 0, cached=False))
        return blocks

    def _scores(
        self,
        method: str,
        requests: Sequence[Request],
        batch: _Batch,
        settings: Sequence[Mapping[str, Any]],
        run: Run[Float32Array],
    ) -> Float32Array:
        def settle(i: int, reply: bytes, cached: bool) -> None:
            shown = str([round(float(x), 4) for x in unpack_floats(reply)])
            self._charge(batch.sizes[i], 0, cached=cached)
            self._record(method, requests[i], shown, batch.sizes[i], 0, cached=cached)

        replies = self._replies(method, batch, settings, 0, run, pack_floats, settle)
        scores = [unpack_floats(reply) for reply in replies]
        return np.stack(scores) if scores else np.zeros((0, 0), dtype=np.float32)

    def _batch(self, requests: Sequence[Request]) -> _Batch:
        prompts = [request.prompt for request in requests]
        return _Batch(prompts, self.model.prompt_tokens(prompts) if prompts else [])

    def _replies(
        self,
        method: str,
        batch: _Batch,
        settings: Sequence[Mapping[str, Any]],
        max_new_tokens: int,
        run: Run[T],
        pack: Pack[T],
        settle: Settle,
    ) -> list[bytes]:
        """Each request's reply, charged; ``run`` is given the positions that are not in the cache."""
        if not batch.prompts:
            return []
        meter, usage = self._log.meter, self._log.usage
        needed, before = sum(batch.sizes) + max_new_tokens * len(batch.prompts), usage.total_tokens
        meter.reserve(tokens=needed, calls=len(batch.prompts))
        try:
            return self._settled(method, batch.prompts, settings, run, pack, settle)
        finally:
            # An endpoint counts more exactly afterwards than we can before; a batch of it may pass the budget by the
            # error.
            meter.refund(tokens=needed - (usage.total_tokens - before))

    def _settled(
        self,
        method: str,
        prompts: Sequence[Prompt],
        settings: Sequence[Mapping[str, Any]],
        run: Run[T],
        pack: Pack[T],
        settle: Settle,
    ) -> list[bytes]:
        fingerprint = self.model.fingerprint
        keys = [call_key(fingerprint, method, p, s) for p, s in zip(prompts, settings, strict=True)]
        found = self._cache.get(keys)
        todo = {key: i for i, key in enumerate(keys) if key not in found}
        paid = self._log.paid_before(method, prompts) if found else set()
        try:
            with self._log.stopping() as stop, self._keeping(method, todo, pack, settle):
                results = run(list(todo.values()), stop) if todo else []
        except BaseException:
            for i in sorted(paid):
                if keys[i] in found:
                    settle(i, found[keys[i]], False)
            raise
        for text in self.model.notices():
            self._log.warn(text)
        fresh = {key: pack(result) for key, result in zip(todo, results, strict=True)}
        if fresh:
            self._cache.put(method, fresh, self._log.document_ids)
        self._log.usage.serial_depth += 1
        replies = [found.get(key) or fresh[key] for key in keys]
        for i, (key, reply) in enumerate(zip(keys, replies, strict=True)):
            settle(i, reply, key in found and i not in paid)
        return replies

    @contextmanager
    def _keeping(self, method: str, todo: Mapping[str, int], pack: Pack[T], settle: Settle) -> Iterator[None]:
        """Store and charge what a batch has finished when it fails: whoever goes on does not pay for it again."""
        try:
            yield
        except RereaderError as error:
            keys = list(todo)
            if finished := {keys[position]: pack(result) for position, result in error.finished.items()}:
                with self._storing():
                    self._cache.put(method, finished, self._log.document_ids)
                    for key, reply in finished.items():
                        settle(todo[key], reply, False)
            raise

    def _begin(self) -> float:
        """When work begins, less what the model was idle so far: what it is from now on is to be added."""
        return time.monotonic() - self.model.idle

    def _note(self, kind: str, batch: _Batch, todo: Sequence[int], started: float, written: int = 0) -> None:
        begun, tokens = started + self.model.idle, sum(batch.sizes[i] for i in todo)
        self._log.note(kind, self.model.name, begun, amount=tokens, written=written, calls=len(todo))

    def _charge(self, prompt_tokens: int, completion_tokens: int, *, cached: bool) -> None:
        usage = self._log.usage
        usage.calls += 1
        usage.prompt_tokens += prompt_tokens
        usage.completion_tokens += completion_tokens
        if cached:
            usage.cached_calls += 1
            usage.cached_tokens += prompt_tokens + completion_tokens

    def _record(
        self, method: str, request: Request, reply: str, prompt_tokens: int, completion_tokens: int, *, cached: bool
    ) -> None:
        call = Call(
            role=self.role,
            method=method,
            template=f"{request.template.name}@{request.template.digest}",
            slots=references(request.slots),
            prompt_sha256=prompt_sha256(request.prompt),
            reply=reply,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cached=cached,
        )
        self._log.calls.append(call)
