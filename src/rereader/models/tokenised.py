"""What models that are given token ids share: rendering, the window, streaming, and choosing by likelihood."""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from rereader.models.base import (
    Cancel,
    Capabilities,
    Float32Array,
    Generation,
    LanguageModel,
    Prompt,
    Sampling,
)
from rereader.models.normalise import log_normalise
from rereader.models.recalled import no_memory
from rereader.models.rendering import Rendered, Renderer
from rereader.models.reply import Reply, ReplyText
from rereader.models.worker import Worker
from rereader.schema.errors import InputError
from rereader.schema.events import Cancelled

T = TypeVar("T")
Ids = tuple[int, ...]
Emit = Callable[[str], None]


class TokenisedModel(LanguageModel):
    """A model whose prompts are rendered and tokenised here and whose calls one worker thread runs.

    Args:
        tokenizer: The model's tokenizer.
        name: Name shown to the user.
        context_window: Most tokens of prompt and reply.
        ends: Tokens that end a reply, besides those with which the chat template closes a turn.
    """

    _worker: Worker

    def __init__(self, tokenizer: Any, *, name: str, context_window: int, ends: frozenset[int]) -> None:
        self.name = name
        self.capabilities = Capabilities()
        self.context_window = context_window
        self._tokenizer = tokenizer
        self._renderer = Renderer(tokenizer)
        self._eos = ends | self._renderer.end_of_turn_ids()

    @abstractmethod
    def _write(
        self, prompts: Sequence[Rendered], sampling: Sampling, cancelled: Cancelled, emit: Emit | None = None
    ) -> list[Generation]:
        """Reply to each prompt, in order; called on the worker's thread, for at least one token."""

    @abstractmethod
    def _values(self, items: Sequence[tuple[Rendered, Sequence[Ids]]], cancelled: Cancelled) -> list[list[float]]:
        """Log-probabilities of the continuations of each prompt; called on the worker's thread."""

    @abstractmethod
    def _guard(self, job: Callable[[], T], cancelled: Cancelled) -> Callable[[], T]:
        """The job as it runs on the worker's thread: not begun once cancelled, its failures ours."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order; see :meth:`LanguageModel.generate`."""
        rendered, cancelled = self._ready(prompts, sampling), flag(cancel)
        return self._run(lambda: self._replies(rendered, sampling, cancelled), cancelled)

    def stream(
        self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None = None
    ) -> Generator[str, None, Generation]:
        """Yield the reply's text piece by piece; the generator's return value is the whole reply.

        Work starts with the first piece that is asked for and stops when the generator is closed.
        """
        rendered = self._ready([prompt], sampling)
        return self._pieces(rendered, sampling, cancel)

    def log_likelihood(
        self, prompts: Sequence[Prompt], continuations: Sequence[str], cancel: Cancel | None = None
    ) -> Float32Array:
        """Log-probability of each continuation after its prompt; equal prompts are read once."""
        if len(prompts) != len(continuations):
            msg = f"{len(prompts)} prompts need as many continuations, not {len(continuations)}."
            raise InputError(msg, "Pass one continuation per prompt.")
        texts = [tuple(self._renderer.encode(text)) for text in continuations]
        groups: dict[Rendered, list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(self._renderer.render(prompt), []).append(index)
        scores = self._score({prompt: [texts[i] for i in group] for prompt, group in groups.items()}, cancel)
        result = np.zeros(len(prompts), dtype=np.float32)
        for rendered, group in groups.items():
            result[group] = scores[rendered]
        return result

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each option as the beginning of the reply, without the turn's end: float32 [n, k].

        Equal prompts are read once.
        """
        ids = [tuple(self._renderer.encode(option)) for option in options]
        if not ids or not all(ids):
            raise InputError("A choice needs at least one option, and no option may be empty.")
        if not prompts:
            return np.zeros((0, len(ids)), dtype=np.float32)
        rendered = [self._renderer.render(prompt) for prompt in (*prompts, *([null] if null else []))]
        found = self._score(dict.fromkeys(rendered, ids), cancel)
        table = np.array([found[prompt] for prompt in rendered], dtype=np.float32)
        return log_normalise(table[: len(prompts)], table[-1] if null else None)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text on its own, special tokens read as plain text."""
        return self._renderer.count(texts)

    def token_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Characters of each token of each untrusted text; see :meth:`LanguageModel.token_spans`."""
        return [self._renderer.token_spans(text) for text in texts]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each untrusted text on its own; see :meth:`LanguageModel.token_ids`."""
        return [self._renderer.encode(text) for text in texts]

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each rendered prompt, chat template included."""
        return [len(self._renderer.render(prompt).ids) for prompt in prompts]

    def _ready(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Rendered]:
        sampling.check()
        return [self._fit(self._renderer.render(prompt), sampling.max_new_tokens) for prompt in prompts]

    def _fit(self, prompt: Rendered, more: int) -> Rendered:
        """The prompt as it will be read, which must fit the window together with ``more`` tokens."""
        if prompt.memory is not None and not self.capabilities.white_box:
            raise no_memory(self.name)
        if len(prompt.ids) + more > self.context_window:
            msg = (
                f"A prompt of {len(prompt.ids):,} tokens and {more:,} more for the reply do not fit into the "
                f"{self.context_window:,} tokens that {self.name} reads at once."
            )
            raise InputError(msg, "Use smaller chunks, a shorter question, or a model with a longer window.")
        return prompt

    def _replies(
        self, prompts: Sequence[Rendered], sampling: Sampling, cancelled: Cancelled, emit: Emit | None = None
    ) -> list[Generation]:
        if sampling.max_new_tokens == 0:
            return [Generation("", (), "length", len(prompt.ids)) for prompt in prompts]
        return self._write(prompts, sampling, cancelled, emit)

    def _new_reply(self, sampling: Sampling, emit: Emit | None) -> Reply:
        decode = partial(self._tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Reply(ReplyText(decode, sampling.stop, emit), self._eos, sampling.max_new_tokens)

    def _pieces(
        self, rendered: list[Rendered], sampling: Sampling, cancel: Cancel | None
    ) -> Generator[str, None, Generation]:
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        gone = threading.Event()
        cancelled = flag(cancel, gone)
        job = self._guard(lambda: self._replies(rendered, sampling, cancelled, pieces.put), cancelled)
        future = self._worker.submit(job)
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            gone.set()
        return future.result()[0]

    def _score(self, groups: Mapping[Rendered, Sequence[Ids]], cancel: Cancel | None) -> dict[Rendered, list[float]]:
        fitted = [(self._fit(prompt, max(map(len, texts))), texts) for prompt, texts in groups.items()]
        if not groups:
            return {}
        cancelled = flag(cancel)
        return dict(zip(groups, self._run(lambda: self._values(fitted, cancelled), cancelled), strict=True))

    def _run(self, job: Callable[[], T], cancelled: Cancelled = lambda: False) -> T:
        return self._worker.call(self._guard(job, cancelled))


def flag(*events: threading.Event | None) -> Cancelled:
    """Whether any of the events is set."""
    present = [event for event in events if event is not None]
    return lambda: any(event.is_set() for event in present)
