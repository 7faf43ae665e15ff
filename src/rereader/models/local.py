"""A language model that runs in this process, on transformers."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rereader.models.base import (
    Cancel,
    Capabilities,
    Device,
    Float32Array,
    Generation,
    LanguageModel,
    Prompt,
    Sampling,
)
from rereader.models.extras import require_local
from rereader.models.measure import Settings, measure
from rereader.models.rendering import Rendered, Renderer
from rereader.models.reply import ReplyText
from rereader.models.worker import Worker
from rereader.schema.errors import InputError, Interrupted, ModelError, RereaderError

if TYPE_CHECKING:
    from rereader.models.decoding import Slots
    from rereader.models.engine import Cancelled
    from rereader.models.prefix import PrefixStats

T = TypeVar("T")
_CPU_CACHE_BYTES = 1 << 30
_CPU_BLOCK_TOKENS = 1024
_CUDA_BLOCK_TOKENS = 16384


class LocalModel(LanguageModel):
    """A causal language model of transformers on a CPU or a CUDA device.

    One worker thread owns the model; calls from any thread queue up, and each call is batched on its own, so a reply
    never depends on who else is calling. In a call, prompts are sorted by length and read in batches; when at most
    half of the rows in progress are left, waiting prompts join them (between two tokens, after a prefill of their
    own). Rows of different calls are never mixed. Attention is SDPA, which uses flash kernels where the device has
    them.

    Prefixes that end at a ``cacheable`` segment are read once and kept; see
    :class:`~rereader.models.prefix.PrefixStore`. Mark a segment as cacheable only where several prompts share it.

    Args:
        model: A causal language model of transformers, with plain attention in every layer.
        tokenizer: Its tokenizer.
        name: Name shown to the user.
        fingerprint_of_weights: Identifies the weights; hashed from the parameters when empty.
        settings: Batch sizes (and the precisions that were measured).
        decode_model: The same weights in the precision that writes fastest; by default ``model`` does both.
        context_window: Most tokens of prompt and reply; by default the model's own.
        threads: Threads of torch on a CPU; by default torch's choice.
        prefix_entries: Most prefixes kept.
        prefix_bytes: Most bytes kept for prefixes.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        fingerprint_of_weights: str = "",
        settings: Settings | None = None,
        decode_model: Any = None,
        context_window: int | None = None,
        threads: int | None = None,
        prefix_entries: int = 8,
        prefix_bytes: int = 512 << 20,
    ) -> None:
        require_local()
        from rereader.models.engine import Engine
        from rereader.models.identity import fingerprint
        from rereader.models.prefix import PrefixStore

        self.name = name
        self.capabilities = Capabilities()
        self.device = str(model.device)
        self._config = model.config.get_text_config()
        self.context_window = context_window or int(self._config.max_position_embeddings)
        self._settings = settings or Settings()
        self._renderer = Renderer(tokenizer)
        self._tokenizer = tokenizer
        self._eos = _eos_ids(model, tokenizer) | self._renderer.end_of_turn_ids()
        models = (model, decode_model if decode_model is not None else model)
        self.fingerprint = fingerprint(models, tokenizer, fingerprint_of_weights)
        block = block_tokens(model.device.type)
        self._engine = Engine(*models, prefixes=PrefixStore(prefix_entries, prefix_bytes), block_tokens=block)
        self._worker = Worker(name, partial(_use_threads, threads))
        weakref.finalize(self, self._worker.close, 0.0)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        settings_cache: Path | None = None,
        context_window: int | None = None,
        weights_sha256: str = "",
    ) -> LocalModel:
        """Load a folder with ``config.json``, safetensors weights and a tokenizer; nothing is downloaded.

        Args:
            path: The folder.
            name: Name shown to the user.
            device: ``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or any other torch device.
            dtype: ``auto`` measures which precision is fastest per phase, ``float32``, ``bfloat16`` or ``float16``.
            threads: Threads of torch on a CPU.
            settings_cache: JSON file where measured settings are kept and found again.
            context_window: Most tokens of prompt and reply.
            weights_sha256: Checksum of the weights when it is known; otherwise the files are hashed.

        Raises:
            InputError: If a setting is unknown.
            MissingExtra: If torch or transformers is not installed.
            ModelError: If the folder cannot be loaded.
        """
        require_local()
        from rereader.models.loading import load_parts

        parts = load_parts(path, device, dtype, threads, settings_cache, weights_sha256)
        return cls(
            parts.model,
            parts.tokenizer,
            name=name,
            fingerprint_of_weights=parts.weights_sha256,
            settings=parts.settings,
            decode_model=parts.decode_model,
            context_window=context_window,
            threads=threads,
        )

    @property
    def placement(self) -> Device:
        """Where and how the model runs, and the measured rates behind it."""
        names = dict.fromkeys(
            str(model.dtype).removeprefix("torch.") for model in (self._engine.prefill_model, self._engine.decode_model)
        )
        notes = tuple(f"{key}: {rate:g} tokens/s in the probe" for key, rate in self._settings.rates.items())
        return Device(
            device=self.device,
            dtype="+".join(names),
            prefill_batch=self._settings.prefill_batch,
            decode_batch=self._settings.decode_batch,
            notes=notes,
        )

    @property
    def prefix_stats(self) -> PrefixStats:
        """What prefix reuse saved so far."""
        return self._worker.call(lambda: self._engine.prefixes.stats)

    def measure(self, seconds: float = 3.0) -> Settings:
        """Measure batch sizes for the precision in use and take them over; the precision stays as it is."""
        dtype = str(self._engine.prefill_model.dtype).removeprefix("torch.")

        def job() -> Settings:
            return measure(self._config, self.device, [dtype], seconds=seconds)

        self._settings = self._run(job, None)
        return self._settings

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order; see :meth:`LanguageModel.generate`."""
        rendered = self._ready(prompts, sampling)
        return self._run(lambda: self._decode(rendered, sampling, _flag(cancel)), cancel)

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
        rendered = [self._renderer.render(prompt) for prompt in prompts]
        texts = [tuple(self._renderer.encode(text)) for text in continuations]
        groups: dict[Rendered, list[int]] = {}
        for index, prompt in enumerate(rendered):
            groups.setdefault(prompt, []).append(index)
        scores = self._score({prompt: [texts[i] for i in group] for prompt, group in groups.items()}, cancel)
        result = np.zeros(len(prompts), dtype=np.float32)
        for group, values in zip(groups.values(), scores, strict=True):
            result[group] = values
        return result

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each option as the beginning of the reply: float32 [n, k].

        Each prompt is read once. Options of one token are read off the logits after it, longer ones are scored whole
        on its keys and values (without the end of the turn).
        """
        from rereader.models.normalise import log_normalise

        ids = [tuple(self._renderer.encode(option)) for option in options]
        if not ids or not all(ids):
            raise InputError("A choice needs at least one option, and no option may be empty.")
        if not prompts:
            return np.zeros((0, len(ids)), dtype=np.float32)
        rendered = [self._renderer.render(prompt) for prompt in (*prompts, *([null] if null else []))]
        distinct = {prompt: ids for prompt in rendered}
        found = dict(zip(distinct, self._score(distinct, cancel), strict=True))
        table = np.array([found[prompt] for prompt in rendered], dtype=np.float32)
        return log_normalise(table[: len(prompts)], table[-1] if null else None)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text on its own, special tokens read as plain text."""
        return self._renderer.count(texts)

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each rendered prompt, chat template included."""
        return [len(self._renderer.render(prompt).ids) for prompt in prompts]

    def close(self) -> None:
        """Finish what is queued, end the worker and drop the kept prefixes."""
        self._worker.close()
        self._engine.prefixes.clear()

    def _ready(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Rendered]:
        if sampling.max_new_tokens < 0 or not sampling.temperature >= 0:
            raise InputError("max_new_tokens and temperature must not be negative.")
        rendered = [self._renderer.render(prompt) for prompt in prompts]
        self._check_window(rendered, [sampling.max_new_tokens] * len(rendered))
        return rendered

    def _check_window(self, prompts: Sequence[Rendered], extra: Sequence[int]) -> None:
        for prompt, more in zip(prompts, extra, strict=True):
            if len(prompt.ids) + more > self.context_window:
                msg = (
                    f"A prompt of {len(prompt.ids):,} tokens and {more:,} more for the reply do not fit into the "
                    f"{self.context_window:,} tokens that {self.name} reads at once."
                )
                raise InputError(msg, "Use smaller chunks, a shorter question, or a model with a longer window.")

    def _slots(self, rows: int) -> Slots:
        from rereader.models.decoding import Slots
        from rereader.models.kv import bytes_per_token

        engine = self._engine
        per_token = bytes_per_token(self._config, engine.decode_model.dtype)
        budget = _cache_bytes(engine.device)
        decode = min(self._settings.decode_batch, max(1, rows))
        return Slots(min(self._settings.prefill_batch, decode), decode, max(1, budget // per_token))

    def _decode(
        self,
        prompts: Sequence[Rendered],
        sampling: Sampling,
        cancelled: Cancelled,
        emit: Callable[[str], None] | None = None,
    ) -> list[Generation]:
        from rereader.models.decoding import Decoder

        if sampling.max_new_tokens == 0:
            return [Generation("", (), "length", len(prompt.ids)) for prompt in prompts]
        decode = partial(self._tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        make_text = partial(ReplyText, decode, sampling.stop, emit)
        decoder = Decoder(self._engine, sampling, self._eos, make_text, cancelled)
        return decoder.run(prompts, self._slots(len(prompts)))

    def _pieces(
        self, rendered: list[Rendered], sampling: Sampling, cancel: Cancel | None
    ) -> Generator[str, None, Generation]:
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        gone = threading.Event()
        cancelled = _flag(cancel, gone)
        future = self._worker.submit(
            self._guard(lambda: self._decode(rendered, sampling, cancelled, pieces.put), cancelled)
        )
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            gone.set()
        return future.result()[0]

    def _score(self, groups: dict[Rendered, list[tuple[int, ...]]], cancel: Cancel | None) -> list[list[float]]:
        from rereader.models.scoring import Candidates, score_candidates

        self._check_window(list(groups), [max(map(len, texts)) for texts in groups.values()])
        items = [Candidates(prompt, tuple(texts)) for prompt, texts in groups.items()]
        if not items:
            return []
        slots = self._slots(self._settings.decode_batch)
        return self._run(lambda: score_candidates(self._engine, items, slots, _flag(cancel)), cancel)

    def _run(self, job: Callable[[], T], cancel: Cancel | None) -> T:
        return self._worker.call(self._guard(job, _flag(cancel)))

    def _guard(self, job: Callable[[], T], cancelled: Cancelled) -> Callable[[], T]:
        def guarded() -> T:
            import torch

            if cancelled():
                raise Interrupted("Stopped before the model began.", "Resume the run to go on.")
            try:
                with torch.inference_mode():
                    return job()
            except RereaderError:
                raise
            except Exception as error:
                text = (str(error).strip() or type(error).__name__).splitlines()[0]
                msg = f"The model {self.name} failed: {text}"
                raise ModelError(msg, "Try a smaller batch, float32, or another model.") from error

        return guarded


def block_tokens(device: str) -> int:
    """Most tokens in one forward pass on a kind of device (``cuda`` or ``cpu``)."""
    return _CUDA_BLOCK_TOKENS if device == "cuda" else _CPU_BLOCK_TOKENS


def _flag(*events: threading.Event | None) -> Cancelled:
    present = [event for event in events if event is not None]
    return lambda: any(event.is_set() for event in present)


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    several = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(int(token) for token in (*several, tokenizer.eos_token_id) if token is not None)


def _cache_bytes(device: Any) -> int:
    if device.type != "cuda":
        return _CPU_CACHE_BYTES
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free * 0.4)
