"""A language model that llama.cpp runs on the CPU, from a GGUF file as it was shipped."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from rereader.models.base import Device, Generation, Sampling
from rereader.models.gguf_parts import GgufParts, load_gguf_parts
from rereader.models.idle import idle_cores
from rereader.models.llamacpp_process import LlamaProcess, Message, ProcessSettings
from rereader.models.machine_lock import computing
from rereader.models.rendering import Rendered
from rereader.models.seeds import prompt_seed
from rereader.models.tokenised import Emit, Ids, TokenisedModel
from rereader.models.worker import Worker
from rereader.schema.errors import Interrupted, ModelError, RereaderError
from rereader.schema.events import Cancelled

T = TypeVar("T")


class LlamaCppModel(TokenisedModel):
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
        exact: Whether keys, values and attention have 32 bits, as when the weights are compared with others.
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
        exact: bool = False,
    ) -> None:
        super().__init__(parts.tokenizer, name=name, context_window=context_window or parts.window, ends=parts.eos)
        self.fingerprint = f"{parts.fingerprint}, 32 bits" if exact else parts.fingerprint
        self._lock = lock
        settings = ProcessSettings(
            model=parts.file,
            window=self.context_window,
            harmless=self._renderer.encode("a")[-1],
            vocabulary=len(parts.tokenizer),
            threads=threads or idle_cores(),
            cache_mib=cache_mib,
            exact=exact,
        )
        self._process = LlamaProcess(settings)
        self._cached = 0
        self._locked_out = 0.0
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
        exact: bool = False,
    ) -> LlamaCppModel:
        """Open a GGUF file with its tokenizer and config; the weights load with the first call.

        Args:
            path: A folder with tokenizer and config.
            name: Name shown to the user.
            file: The GGUF file; by default the one in the folder.
            threads: Threads that compute.
            context_window: Most tokens of prompt and reply.
            gguf_sha256: Checksum of the file when it is known.
            exact: Whether it computes with 32 bits throughout.

        Raises:
            MissingExtra: If xllamacpp or transformers is not installed.
            ModelError: If the folder is incomplete.
        """
        parts = load_gguf_parts(path, file, gguf_sha256)
        return cls(parts, name=name, threads=threads, context_window=context_window, exact=exact)

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
    def waited(self) -> float:
        """Seconds that calls have waited for the machine's lock."""
        return self._locked_out

    @property
    def loading(self) -> float:
        """Seconds that calls have spent on starting the process, until it had loaded the weights."""
        return self._process.starting

    @property
    def process_id(self) -> int | None:
        """Id of the process that holds the weights; ``None`` before the first call."""
        return self._process.pid

    def close(self) -> None:
        """Finish what is queued and end the process."""
        self._worker.close()
        self._process.end()

    def _write(
        self, prompts: Sequence[Rendered], sampling: Sampling, cancelled: Cancelled, emit: Emit | None = None
    ) -> list[Generation]:
        return [self._write_one(prompt, sampling, cancelled, emit) for prompt in prompts]

    def _write_one(self, prompt: Rendered, sampling: Sampling, cancelled: Cancelled, emit: Emit | None) -> Generation:
        reply = self._new_reply(sampling, emit)
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

    def _values(self, items: Sequence[tuple[Rendered, Sequence[Ids]]], cancelled: Cancelled) -> list[list[float]]:
        return [self._values_of(prompt, texts, cancelled) for prompt, texts in items]

    def _values_of(self, prompt: Rendered, texts: Sequence[Ids], cancelled: Cancelled) -> list[float]:
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

    def _guard(self, job: Callable[[], T], cancelled: Cancelled) -> Callable[[], T]:
        def guarded() -> T:
            if cancelled():
                raise Interrupted("Stopped before the model began.", "Resume the run to go on.")
            with ExitStack() as stack:
                asked = time.monotonic()
                try:
                    stack.enter_context(computing(self.name, cancelled, self._lock))
                finally:
                    self._locked_out += time.monotonic() - asked
                result = self._do(job)
            if cancelled():
                raise Interrupted("Stopped while the model was writing.", "Resume the run to go on.")
            return result

        return guarded

    def _do(self, job: Callable[[], T]) -> T:
        try:
            return job()
        except RereaderError:
            raise
        except Exception as error:  # closed under its hands, for instance
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"The model {self.name} failed: {text}", "Ask again; it is loaded anew.") from error


def _release(worker: Worker, process: LlamaProcess) -> None:
    worker.close(0.0)
    process.end()
