"""A language model that runs in this process, on transformers."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rereader.models.base import (
    Attention,
    Cancel,
    Capabilities,
    Device,
    Float32Array,
    Generation,
    Head,
    Precision,
    Prompt,
    Sampling,
    TextFile,
)
from rereader.models.batching import is_out_of_memory, out_of_memory
from rereader.models.extras import require_local
from rereader.models.kvmemory import Compression, KVMemory, KVPrecision
from rereader.models.measure import Settings
from rereader.models.rendering import Rendered
from rereader.models.room import block_tokens, cache_tokens, require_room
from rereader.models.tokenised import Emit, Ids, TokenisedModel, flag
from rereader.models.worker import Worker
from rereader.schema.errors import InputError, Interrupted, ModelError, RereaderError
from rereader.schema.events import Cancelled

if TYPE_CHECKING:
    import torch

    from rereader.models.attention import Rows
    from rereader.models.compressors.base import Compressor, Texts
    from rereader.models.compressors.shelf import Shelf
    from rereader.models.decoding import Slots
    from rereader.models.engine import Engine
    from rereader.models.prefix import PrefixStats

T = TypeVar("T")
FindHeads = Callable[[], Sequence[Head]]
_REPEAT = "\n\nRepeat the text above, word for word.\n\n"


class LocalModel(TokenisedModel):
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
        find_heads: Finds the heads that look at what answers a question, best first; called when they are needed.
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
        find_heads: FindHeads = tuple,
    ) -> None:
        require_local()
        from rereader.models.engine import Engine
        from rereader.models.identity import fingerprint
        from rereader.models.prefix import PrefixStore

        self._config = model.config.get_text_config()
        window = context_window or int(self._config.max_position_embeddings)
        super().__init__(tokenizer, name=name, context_window=window, ends=_eos_ids(model, tokenizer))
        self.capabilities = Capabilities(white_box=True)
        self._find_heads = find_heads
        self.device = str(model.device)
        self._settings = settings or Settings()
        self._notices: list[str] = []
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
        find_heads: FindHeads = tuple,
    ) -> LocalModel:
        """Load a folder with ``config.json``, safetensors weights and a tokenizer; nothing is downloaded.

        Args:
            path: The folder.
            name: Name shown to the user.
            device: ``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or any other torch device.
            dtype: ``auto`` measures which precision is fastest per phase, ``float32``, ``bfloat16`` or ``float16``;
                ``8bit`` and ``4bit`` quantise the weights while they load.
            threads: Threads of torch on a CPU.
            settings_cache: JSON file where measured settings are kept and found again.
            context_window: Most tokens of prompt and reply.
            weights_sha256: Checksum of the weights when it is known; otherwise the files are hashed.
            find_heads: Finds the heads that look at what answers a question, best first.

        Raises:
            InputError: If a setting is unknown.
            MissingExtra: If torch or transformers is not installed, or what quantises.
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
            find_heads=find_heads,
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
    def retrieval_heads(self) -> tuple[Head, ...]:
        """Heads that look at what answers a question, best first; see :class:`LanguageModel`."""
        return tuple(self._find_heads())

    @property
    def engine(self) -> Engine:
        """What reads and writes, for measuring it; not to be used while a call is under way."""
        return self._engine

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, for measuring."""
        return self._tokenizer

    @property
    def prefix_stats(self) -> PrefixStats:
        """What prefix reuse saved so far."""
        return self._worker.call(lambda: self._engine.prefixes.stats)

    def copy_model(self) -> Any:
        """The model that reads once more, to put adapters into: modules of its own that hold the same weights."""
        model = self._engine.prefill_model
        shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        return self._worker.call(lambda: copy.deepcopy(model, shared))

    def all_heads(self) -> list[Head]:
        """Every attention head, layer by layer."""
        layers, heads = self._config.num_hidden_layers, self._config.num_attention_heads
        return [Head(layer, head) for layer in range(layers) for head in range(heads)]

    def attention(
        self,
        prompt: Prompt,
        heads: Sequence[Head],
        cancel: Cancel | None = None,
        keep: TextFile | None = None,
        *,
        whole: bool = False,
    ) -> Attention:
        """Where what follows a prompt's last cacheable segment looks; see :meth:`LanguageModel.attention`."""
        rendered = self._fit(self._renderer.render(prompt), 0)
        if rendered.memory and keep:
            raise InputError("A prompt with compressed texts is not kept.", "Ask without a file to keep it in.")
        from rereader.models.logprobs import require_numbers
        from rereader.models.looking import Looking

        looking, cancelled = Looking.of(rendered, heads, whole=whole), flag(cancel)

        def job() -> tuple[Rows, int]:
            self._require_room(looking.new_tokens(self._engine))
            return looking.rows(self._engine, keep, self.fingerprint, self._notices, cancelled)

        rows, read = self._run(job, cancelled)
        require_numbers(rows.by_query)
        arrays = (rows.by_query.numpy(), rows.by_head.numpy(), rows.peaks.numpy())
        return Attention(*arrays, rendered.ranges, rendered.ids, read)

    def token_losses(
        self, ids: Sequence[int], context_lengths: Sequence[int], first: int = 0, cancel: Cancel | None = None
    ) -> Float32Array:
        """Loss of each token of a bare text, batched over windows; see :meth:`LanguageModel.token_losses`."""
        text, opening, cancelled = tuple(ids), self._renderer.opening(), flag(cancel)
        if any(not 0 <= token < self._config.vocab_size for token in text):
            raise InputError(f"{self.name} has no such tokens.", "Take them from token_ids of the same model.")
        spans = [min(length, max(1, len(text))) for length in context_lengths]
        if any(length < 1 or length + len(opening) > self.context_window for length in spans):
            msg = f"A context has 1 to {self.context_window - len(opening):,} tokens with {self.name}."
            raise InputError(msg, "Shorten the contexts, or choose a model with a larger window.")

        def job() -> torch.Tensor:
            from rereader.models.losses import token_losses

            self._require_room(max(spans, default=0))
            slots = self._slots(self._settings.prefill_batch)
            return token_losses(self._engine, text, spans, first, opening, slots, cancelled)

        losses: Float32Array = self._run(job, cancelled).numpy()
        return losses

    def text_bytes(self, tokens: int, precision: Precision, heads: Sequence[Head] = ()) -> int:
        """Bytes that a kept text takes on disk; see :meth:`LanguageModel.text_bytes`."""
        from rereader.models.kvfile import file_bytes
        from rereader.models.shallow import depth, layers

        model = self._engine.prefill_model
        deepest = depth(model, max(head.layer for head in heads)) if heads else None
        return file_bytes(self._config, model.dtype, tokens, precision, layers(model, deepest))

    def compress_kv(
        self, prompts: Sequence[Prompt], compression: Compression, cancel: Cancel | None = None
    ) -> list[KVMemory]:
        """Compress texts to keys and values, in batches; see :meth:`LanguageModel.compress_kv`."""
        compressor, texts, sizes = self._to_compress(prompts, compression)
        cancelled = flag(cancel)

        def job() -> list[KVMemory]:
            self._require_room(max(sizes, default=0))
            slots = self._slots(self._settings.prefill_batch)
            return [*compressor.compress(self._engine, texts, compression, slots, cancelled)]

        return self._run(job, cancelled)

    def compress_tokens(self, prompts: Sequence[Prompt], compression: Compression) -> list[int]:
        """Tokens that go through the model to compress each text; see :meth:`LanguageModel.compress_tokens`."""
        return self._to_compress(prompts, compression)[2]

    def _to_compress(self, prompts: Sequence[Prompt], compression: Compression) -> tuple[Compressor, Texts, list[int]]:
        from rereader.models.compressors.base import Texts

        rendered = [self._fit(self._renderer.render(prompt), 0) for prompt in prompts]
        texts = Texts.of_prompts(rendered, self.fingerprint, tuple(self._renderer.encode(_REPEAT)))
        compressor = self._shelf.find(compression)
        return compressor, texts, compressor.fit(texts, self.context_window, self.name)

    def load_kv(self, path: Path) -> KVMemory:
        """A compressed text from its file, which stays open to be read; see :meth:`LanguageModel.load_kv`."""
        from rereader.models.kvblock import load_block

        return load_block(path, self.fingerprint, self._config)

    def kv_bytes(self, tokens: int, compression: Compression, precision: KVPrecision) -> int:
        """Bytes that a compressed text of so many tokens takes on disk, about."""
        from rereader.models.kvblock import block_bytes

        kept = self._shelf.find(compression).kept(tokens, compression.normalised().ratio)
        return block_bytes(self._config, self._engine.prefill_model.dtype, kept, precision)

    @cached_property
    def _shelf(self) -> Shelf:
        from rereader.models.compressors.shelf import Shelf

        return Shelf()

    def notices(self) -> tuple[str, ...]:
        """What became of kept texts since the last time."""
        told, self._notices = tuple(self._notices), []
        return told

    def close(self) -> None:
        """Finish what is queued, end the worker and drop the kept prefixes and text."""
        self._worker.close()
        self._engine.prefixes.clear()
        self._engine.forget()

    def _fit(self, prompt: Rendered, more: int) -> Rendered:
        super()._fit(prompt, more)
        if prompt.memory is None:
            return prompt
        from rereader.models.kvread import fit_memory

        start, end = prompt.memory.start, prompt.memory.end
        others = len(prompt.ids) - (end - start) + more
        memory = fit_memory(prompt.memory, others, self.fingerprint, self.context_window, self.name)
        return replace(prompt, ids=(*prompt.ids[:start], *memory.ids, *prompt.ids[end:]), memory=memory)

    def _require_room(self, tokens: int) -> None:
        engine = self._engine
        require_room(self._config, engine.prefill_model.dtype, engine.device, tokens)

    def _slots(self, rows: int) -> Slots:
        from rereader.models.decoding import Slots

        engine = self._engine
        decode = min(self._settings.decode_batch, max(1, rows))
        tokens = cache_tokens(self._config, engine.decode_model.dtype, engine.device)
        return Slots(min(self._settings.prefill_batch, decode), decode, tokens)

    def _write(
        self, prompts: Sequence[Rendered], sampling: Sampling, cancelled: Cancelled, emit: Emit | None = None
    ) -> list[Generation]:
        from rereader.models.decoding import Decoder

        decoder = Decoder(self._engine, sampling, partial(self._new_reply, sampling, emit), cancelled)
        return decoder.run(prompts, self._slots(len(prompts)))

    def _values(self, items: Sequence[tuple[Rendered, Sequence[Ids]]], cancelled: Cancelled) -> list[list[float]]:
        from rereader.models.scoring import Candidates, score_candidates

        candidates = [Candidates(prompt, tuple(texts)) for prompt, texts in items]
        return score_candidates(self._engine, candidates, self._slots(self._settings.decode_batch), cancelled)

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
                if is_out_of_memory(error):
                    raise out_of_memory() from error
                text = (str(error).strip() or type(error).__name__).splitlines()[0]
                msg = f"The model {self.name} failed: {text}"
                raise ModelError(msg, "Try a smaller batch, float32, or another model.") from error

        return guarded


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    several = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(int(token) for token in (*several, tokenizer.eos_token_id) if token is not None)
