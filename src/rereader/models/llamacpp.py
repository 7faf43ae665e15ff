"""A language model that llama.cpp runs on the CPU, from a GGUF file as it was shipped."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rereader.models.base import (
    Cancel,
    Capabilities,
    Device,
    FinishReason,
    Float32Array,
    Generation,
    LanguageModel,
    Prompt,
    Sampling,
)
from rereader.models.gguf_parts import GgufParts, load_gguf_parts
from rereader.models.idle import idle_cores
from rereader.models.llamacpp_process import LlamaProcess, Message, ProcessSettings
from rereader.models.machine_lock import computing
from rereader.models.normalise import log_normalise
from rereader.models.rendering import Rendered, Renderer
from rereader.models.reply import ReplyText
from rereader.models.seeds import prompt_seed
from rereader.models.worker import Worker
from rereader.schema.errors import InputError, Interrupted, ModelError

T = TypeVar("T")
Stopped = Callable[[], bool]


class LlamaCppModel(LanguageModel):
    """A GGUF file run by llama.cpp in a process of its own.

    Prompts are rendered and tokenised here, by the same code and tokenizer as for
    :class:`~rereader.models.local.LocalModel`, and handed over as token ids: text of a document can never become a
    special token, and usage is the same. One worker thread owns the process; calls from any thread queue up, and
    prompts of one call are answered one after the other, so a reply does not depend on who else is calling. Around each
    call the machine's lock is held (see :mod:`~rereader.models.machine_lock`); an idle model holds nothing but memory.

    The keys and values of the last prompt stay, and those of earlier ones up to ``cache_mib``: a prompt is read from
    where it differs. The reply to one prompt may differ in its last bits with how much of it was read before.

    Scoring works token by token at the speed of writing. It is exact, and slow for long continuations.

    Args:
        parts: Weights file, tokenizer and facts of the model.
        name: Name shown to the user.
        threads: Threads that compute; by default as many as there are idle physical cores when the model is made.
        context_window: Most tokens of prompt and reply; by default the model's own.
        cache_mib: Most MiB for earlier prompts.
        lock: The lock file; by default that of the user.
    """

    def __init__(
        self,
        parts: GgufParts,
        *,
        name: str,
        threads: int | None = None,
        context_window: int | None = None,
        cache_mib: int = 512,
        lock: Path | None = None,
    ) -> None:
        self.name = name
        self.device = "cpu"
        self.capabilities = Capabilities()
        self.context_window = context_window or parts.window
        self.fingerprint = parts.fingerprint
        self._renderer = Renderer(parts.tokenizer)
        self._tokenizer = parts.tokenizer
        self._eos = parts.eos | self._renderer.end_of_turn_ids()
        self._lock = lock
        settings = ProcessSettings(
            model=parts.file,
            window=self.context_window,
            harmless=self._renderer.encode("a")[-1],
            vocabulary=len(parts.tokenizer),
            threads=threads or idle_cores(),
            cache_mib=cache_mib,
        )
        self._process = LlamaProcess(settings)
        self._cached = 0
        self._worker = Worker(name)
        weakref.finalize(self, _release, self._worker, self._process)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        file: Path | None = None,
        threads: int | None = None,
        context_window: int | None = None,
        gguf_sha256: str = "",
    ) -> LlamaCppModel:
        """Open a GGUF file with its tokenizer and config; the weights load with the first call.

        Args:
            path: A folder with tokenizer and config.
            name: Name shown to the user.
            file: The GGUF file; by default the one in the folder.
            threads: Threads that compute.
            context_window: Most tokens of prompt and reply.
            gguf_sha256: Checksum of the file when it is known.

        Raises:
            MissingExtra: If xllamacpp or transformers is not installed.
            ModelError: If the folder is incomplete.
        """
        parts = load_gguf_parts(path, file, gguf_sha256)
        return cls(parts, name=name, threads=threads, context_window=context_window)

    @property
    def placement(self) -> Device:
        """Where the model runs."""
        settings = self._process.settings
        return Device(
            device="cpu", dtype="gguf", prefill_batch=1, decode_batch=1, notes=(f"{settings.threads} threads",)
        )

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that were not read again, over all calls so far."""
        return self._cached

    @property
    def process_id(self) -> int | None:
        """Id of the process that holds the weights; ``None`` before the first call."""
        return self._process.pid

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order; see :meth:`LanguageModel.generate`."""
        rendered = self._ready(prompts, sampling)
        cancelled = _flag(cancel)
        return self._run(lambda: [self._write(prompt, sampling, cancelled) for prompt in rendered], cancel)

    def stream(
        self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None = None
    ) -> Generator[str, None, Generation]:
        """Yield the reply's text piece by piece; the generator's return value is the whole reply.

        Work starts with the first piece that is asked for and stops when the generator is closed.
        """
        [rendered] = self._ready([prompt], sampling)
        return self._pieces(rendered, sampling, cancel)

    def log_likelihood(
        self, prompts: Sequence[Prompt], continuations: Sequence[str], cancel: Cancel | None = None
    ) -> Float32Array:
        """Log-probability of each continuation after its prompt."""
        if len(prompts) != len(continuations):
            msg = f"{len(prompts)} prompts need as many continuations, not {len(continuations)}."
            raise InputError(msg, "Pass one continuation per prompt.")
        pairs = [
            (self._renderer.render(prompt), [tuple(self._renderer.encode(text))])
            for prompt, text in zip(prompts, continuations, strict=True)
        ]
        return self._score(pairs, cancel)[:, 0] if pairs else np.zeros(0, dtype=np.float32)

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each option as the beginning of the reply: float32 [n, k]."""
        ids = [tuple(self._renderer.encode(option)) for option in options]
        if not ids or not all(ids):
            raise InputError("A choice needs at least one option, and no option may be empty.")
        if not prompts:
            return np.zeros((0, len(ids)), dtype=np.float32)
        rendered = [self._renderer.render(prompt) for prompt in (*prompts, *([null] if null else []))]
        table = self._score([(prompt, ids) for prompt in rendered], cancel)
        return log_normalise(table[: len(prompts)], table[-1] if null else None)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text on its own, special tokens read as plain text."""
        return self._renderer.count(texts)

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each rendered prompt, chat template included."""
        return [len(self._renderer.render(prompt).ids) for prompt in prompts]

    def close(self) -> None:
        """Finish what is queued and end the process."""
        self._worker.close()
        self._process.end()

    def _ready(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Rendered]:
        if sampling.max_new_tokens < 0 or not sampling.temperature >= 0:
            raise InputError("max_new_tokens and temperature must not be negative.")
        rendered = [self._renderer.render(prompt) for prompt in prompts]
        for prompt in rendered:
            self._check_window(prompt, sampling.max_new_tokens)
        return rendered

    def _check_window(self, prompt: Rendered, more: int) -> None:
        if len(prompt.ids) + more > self.context_window:
            msg = (
                f"A prompt of {len(prompt.ids):,} tokens and {more:,} more for the reply do not fit into the "
                f"{self.context_window:,} tokens that {self.name} reads at once."
            )
            raise InputError(msg, "Use smaller chunks, a shorter question, or a model with a longer window.")

    def _pieces(
        self, rendered: Rendered, sampling: Sampling, cancel: Cancel | None
    ) -> Generator[str, None, Generation]:
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        gone = threading.Event()
        cancelled = _flag(cancel, gone)
        job = self._guard(lambda: self._write(rendered, sampling, cancelled, pieces.put), cancel)
        future = self._worker.submit(job)
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            gone.set()
        return future.result()

    def _write(
        self, prompt: Rendered, sampling: Sampling, cancelled: Stopped, emit: Callable[[str], None] | None = None
    ) -> Generation:
        if sampling.max_new_tokens == 0:
            return Generation("", (), "length", len(prompt.ids))
        decode = partial(self._tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        reply = _Reply(ReplyText(decode, sampling.stop, emit), self._eos, sampling.max_new_tokens)
        job = {
            "do": "write",
            "prompt": prompt.ids,
            "most": sampling.max_new_tokens,
            "ends": sorted(self._eos),
            "temperature": sampling.temperature,
            "seed": prompt_seed(sampling.seed, prompt.ids),
        }
        tokens = len(prompt.ids) + sampling.max_new_tokens
        for line in self._process.run(job, tokens, lambda: reply.finish is not None or cancelled()):
            if "token" in line:
                reply.take(line["token"], line["logprob"])
            else:
                self._check_read(prompt, line)
        return reply.result(len(prompt.ids))

    def _score(self, pairs: Sequence[tuple[Rendered, list[tuple[int, ...]]]], cancel: Cancel | None) -> Float32Array:
        for prompt, texts in pairs:
            self._check_window(prompt, max(map(len, texts)))
        cancelled = _flag(cancel)
        return self._run(lambda: np.array([self._values(*pair, cancelled) for pair in pairs], np.float32), cancel)

    def _values(self, prompt: Rendered, texts: list[tuple[int, ...]], cancelled: Stopped) -> list[float]:
        values: list[float] = []
        job = {"do": "score", "prompt": prompt.ids, "continuations": texts}
        for line in self._process.run(job, len(prompt.ids) + max(map(len, texts)) + 1, cancelled):
            if "values" in line:
                values = line["values"]
            else:
                self._check_read(prompt, line)
        return values

    def _check_read(self, prompt: Rendered, line: Message) -> None:
        """Compare llama.cpp's own count of the prompt with ours, and note what it did not read again."""
        read: dict[str, Any] = line["done"]
        if line.get("stopped") and not read:
            raise Interrupted("Stopped while the model was reading.", "Resume the run to go on.")
        if not read:  # an empty continuation asks for nothing
            return
        counted = read["prompt_tokens"]
        if counted != len(prompt.ids):
            msg = f"llama.cpp read {counted:,} tokens of a prompt of {len(prompt.ids):,}."
            raise ModelError(msg, "Use --runtime transformers, and report it.")
        self._cached += read["prompt_tokens_details"]["cached_tokens"]

    def _run(self, job: Callable[[], T], cancel: Cancel | None) -> T:
        return self._worker.call(self._guard(job, cancel))

    def _guard(self, job: Callable[[], T], cancel: Cancel | None) -> Callable[[], T]:
        def guarded() -> T:
            if cancel is not None and cancel.is_set():
                raise Interrupted("Stopped before the model began.", "Resume the run to go on.")
            with computing(self.name, cancel, self._lock):
                result = job()
            if cancel is not None and cancel.is_set():
                raise Interrupted("Stopped while the model was writing.", "Resume the run to go on.")
            return result

        return guarded


class _Reply:
    """One reply in the making: decides when it is complete."""

    def __init__(self, text: ReplyText, ends: frozenset[int], most: int) -> None:
        self._text = text
        self._ends = ends
        self._most = most
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self.finish: FinishReason | None = None

    def take(self, token: int, logprob: float) -> None:
        """Add a token; those after the end are dropped."""
        if self.finish is not None:
            return
        if token in self._ends:
            self.finish = "stop"
        else:
            self._ids.append(token)
            self._logprobs.append(logprob)
            if self._text.push(token):
                self.finish = "stop"
            elif len(self._ids) >= self._most:
                self.finish = "length"
        if self.finish is not None:
            self._text.finish()

    def result(self, prompt_tokens: int) -> Generation:
        """The whole reply."""
        if self.finish is None:
            raise Interrupted("Stopped while the model was writing.", "Resume the run to go on.")
        return Generation(self._text.text, tuple(self._ids), self.finish, prompt_tokens, tuple(self._logprobs))


def _flag(*events: threading.Event | None) -> Stopped:
    present = [event for event in events if event is not None]
    return lambda: any(event.is_set() for event in present)


def _release(worker: Worker, process: LlamaProcess) -> None:
    worker.close(0.0)
    process.end()
