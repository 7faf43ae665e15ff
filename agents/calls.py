"""Model calls of a run: budget reserved first, cache asked second, model last; each call is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.memory.calls import (
    CallCache,
    call_key,
    pack_floats,
    pack_generation,
    unpack_floats,
    unpack_generation,
)
from rereader.memory.runs import Call
from rereader.models.base import Cancel, Embedder, Float32Array, Generation, LanguageModel, Prompt, Sampling
from rereader.prompts.loader import SlotValue, Template, prompt_sha256, references
from rereader.schema import BudgetMeter, Usage


@dataclass(frozen=True)
class Request:
    """A template and what fills it."""

    template: Template
    slots: Mapping[str, SlotValue]

    @property
    def prompt(self) -> Prompt:
        """The rendered prompt."""
        return self.template.render(**self.slots)


@dataclass
class CallLog:
    """What the calls of a step are charged to and written in."""

    meter: BudgetMeter
    usage: Usage
    document_ids: tuple[str, ...]
    cancel: Cancel
    calls: list[Call] = field(default_factory=list)


class Caller:
    """One role's model inside a run.

    Every method is one batch: ``serial_depth`` grows by one for each, since its calls do not depend on one another.
    Batches are fixed by their inputs before the cache is read.
    """

    def __init__(self, role: str, model: LanguageModel, cache: CallCache, log: CallLog) -> None:
        self.role = role
        self.model = model
        self._cache = cache
        self._log = log

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

        def run(prompts: Sequence[Prompt]) -> list[bytes]:
            return [pack_generation(g) for g in self.model.generate(prompts, sampling, self._log.cancel)]

        batch = self._batch("generate", requests, settings, sampling.max_new_tokens, run)
        generations = [unpack_generation(reply) for reply in batch.replies]
        self._log.meter.refund(tokens=sum(sampling.max_new_tokens - g.completion_tokens for g in generations))
        for request, generation, size, cached in zip(requests, generations, batch.sizes, batch.cached, strict=True):
            written = generation.completion_tokens
            self._charge(size, written, cached=cached)
            self._record("generate", request, generation.text, size, written, cached=cached)
        return generations

    def choose(self, requests: Sequence[Request], options: Sequence[str], null: Request | None = None) -> Float32Array:
        """Log-probability of each option for each request: float32 [n, k]; see ``LanguageModel.choose``."""
        null_prompt = null.prompt if null else None
        settings = {"options": list(options), "null": prompt_sha256(null_prompt) if null_prompt else ""}

        def run(prompts: Sequence[Prompt]) -> list[bytes]:
            rows = self.model.choose(prompts, options, null_prompt, self._log.cancel)
            return [pack_floats(row) for row in rows]

        return self._scores("choose", requests, settings, run)

    def log_likelihood(self, requests: Sequence[Request], continuations: Sequence[str]) -> Float32Array:
        """Log-probability of ``continuations[i]`` after request ``i``: float32 [n]."""
        continuation_of = dict(zip((r.prompt for r in requests), continuations, strict=True))

        def run(prompts: Sequence[Prompt]) -> list[bytes]:
            wanted = [continuation_of[prompt] for prompt in prompts]
            values = self.model.log_likelihood(prompts, wanted, self._log.cancel)
            return [pack_floats(values[i : i + 1]) for i in range(len(prompts))]

        settings = {"continuations": list(continuations) if len(set(continuations)) > 1 else continuations[:1]}
        return self._scores("log_likelihood", requests, settings, run).reshape(-1)

    def _scores(
        self,
        method: str,
        requests: Sequence[Request],
        settings: Mapping[str, Any],
        run: Callable[[Sequence[Prompt]], list[bytes]],
    ) -> Float32Array:
        batch = self._batch(method, requests, settings, 0, run)
        scores = [unpack_floats(reply) for reply in batch.replies]
        for request, row, size, cached in zip(requests, scores, batch.sizes, batch.cached, strict=True):
            self._charge(size, 0, cached=cached)
            self._record(method, request, str([round(float(x), 4) for x in row]), size, 0, cached=cached)
        return np.stack(scores) if scores else np.zeros((0, 0), dtype=np.float32)

    def _batch(
        self,
        method: str,
        requests: Sequence[Request],
        settings: Mapping[str, Any],
        max_new_tokens: int,
        run: Callable[[Sequence[Prompt]], list[bytes]],
    ) -> _Batch:
        prompts = [request.prompt for request in requests]
        if not prompts:
            return _Batch([], [], [])
        sizes = self.model.prompt_tokens(prompts)
        needed = sum(sizes) + max_new_tokens * len(prompts)
        self._log.meter.reserve(tokens=needed, calls=len(prompts))
        keys = [call_key(self.model.fingerprint, method, prompt, settings) for prompt in prompts]
        found = self._cache.get(keys)
        missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in found}
        try:
            fresh = dict(zip(missing, run(list(missing.values())), strict=True)) if missing else {}
        except BaseException:
            self._log.meter.refund(tokens=needed)
            raise
        if fresh:
            self._cache.put(method, fresh, self._log.document_ids)
        self._log.usage.serial_depth += 1
        return _Batch([found.get(key) or fresh[key] for key in keys], sizes, [key in found for key in keys])

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
            template=f"{request.template.name}@{request.template.sha256[:16]}",
            slots=references(request.slots),
            prompt_sha256=prompt_sha256(request.prompt),
            reply=reply,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cached=cached,
        )
        self._log.calls.append(call)


@dataclass(frozen=True)
class _Batch:
    replies: list[bytes]
    sizes: list[int]
    cached: list[bool]


class EmbedCaller:
    """The embedder inside a run, for short texts such as questions; a document's vectors live in its index."""

    def __init__(self, embedder: Embedder, cache: CallCache, log: CallLog) -> None:
        self.embedder = embedder
        self._cache = cache
        self._log = log

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, float32 [n, d]; a text longer than the window is embedded by its first window."""
        heads = [text[start:end] for text, (start, end) in zip(texts, self._first_windows(texts), strict=True)]
        keys = [call_key(self.embedder.fingerprint, "embed", head, {}) for head in heads]
        found = self._cache.get(keys)
        missing = {key: head for key, head in zip(keys, heads, strict=True) if key not in found}
        if missing:
            vectors = self.embedder.embed(list(missing.values()), self._log.cancel)
            fresh = {key: pack_floats(vectors[i]) for i, key in enumerate(missing)}
            self._cache.put("embed", fresh, self._log.document_ids)
            found |= fresh
            self._log.usage.embedded_tokens += sum(self.embedder.count_tokens(list(missing.values())))
        return np.stack([unpack_floats(found[key]) for key in keys])

    def _first_windows(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        return [windows[0] if windows else (0, 0) for windows in self.embedder.windows(texts)]
