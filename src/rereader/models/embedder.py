"""Sentence embeddings from a local model folder, through sentence-transformers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rereader.models.base import Cancel, Embedder, Float32Array, TextKind
from rereader.models.batching import run_halving
from rereader.models.files import hash_file
from rereader.models.hub_kernels import no_hub_kernels
from rereader.models.windows import cut_windows
from rereader.schema.errors import InputError, Interrupted, MissingExtra, ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_CPU_BATCH_TOKENS = 2048  # measured: larger batches fall out of the cache and are up to a fifth slower
_CUDA_BATCH_TOKENS = 65_536
_BATCH_TEXTS = 256
_GROUP_TEXTS = 1024
_BLOCK_CHARACTERS = 50_000
_NO_PREFIXES: Mapping[TextKind, str] = {}


class SentenceEmbedder(Embedder):
    """A sentence-transformers model; build it with :meth:`load`.

    Vectors equal those of ``SentenceTransformer.encode(normalize_embeddings=True)``. Safe to call from several threads;
    calls take turns.

    Args:
        model: A loaded ``SentenceTransformer`` whose first module is a transformer with a fast tokenizer.
        name: Name of the model.
        fingerprint: Identifies weights, tokenizer, prefixes, device and library versions.
        languages: ISO 639-1 codes of the languages it was trained on; ``*`` stands for any.
        prefixes: What it was trained to see before questions and before passages; :meth:`embed` puts it there.

    Raises:
        ModelError: If the model needs prompts, or a tokenizer that this class cannot use.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        fingerprint: str,
        languages: tuple[str, ...] = ("*",),
        prefixes: Mapping[TextKind, str] = _NO_PREFIXES,
    ) -> None:
        self.languages = languages
        self._prefixes = dict(prefixes)
        self.name = name
        self.fingerprint = fingerprint
        self._model = model.eval()
        self._tokenizer = _own_tokenizer(model, name)
        self._padding = int(model.tokenizer.pad_token_id or 0)
        self._special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._batch_tokens = _CUDA_BATCH_TOKENS if model.device.type == "cuda" else _CPU_BATCH_TOKENS
        self._lock = threading.Lock()
        self.window = int(model.max_seq_length)
        lengths = [len(self._tokenizer.encode(prefix, add_special_tokens=False)) for prefix in prefixes.values()]
        self._prefix_tokens = max(lengths, default=0) + (1 if lengths else 0)
        self.dimension = self._forward([self._tokenizer.encode("a").ids]).shape[1]

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        device: str = "auto",
        threads: int | None = None,
        weights_sha256: str = "",
        languages: tuple[str, ...] = ("*",),
        prefixes: Mapping[TextKind, str] = _NO_PREFIXES,
    ) -> Self:
        """Load a model folder; nothing is fetched from anywhere.

        Args:
            path: The folder.
            name: Name of the model.
            device: A torch device, or ``auto`` for CUDA where there is one.
            threads: Threads of torch (of the whole process); ``None`` leaves them alone.
            weights_sha256: Identifies the folder's contents; computed when empty.
            languages: ISO 639-1 codes of the languages it was trained on; ``*`` stands for any.
            prefixes: What it was trained to see before questions and before passages.

        Raises:
            MissingExtra: If torch or sentence-transformers are not installed.
            ModelError: If the folder is not such a model.
        """
        try:
            with no_hub_kernels():
                import sentence_transformers
            import torch
        except ImportError as error:
            raise MissingExtra("Embedding with a model", "local") from error
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            with _no_progress_bars():
                model = sentence_transformers.SentenceTransformer(
                    str(path),
                    device=device,
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
            msg = f"The embedding model in {path} cannot be loaded: {str(error).splitlines()[0]}"
            raise ModelError(msg, "Pull it again, or name another sentence-transformers folder.") from error
        versions = [torch.__version__, sentence_transformers.__version__]
        identity = [name, weights_sha256 or _hash_folder(path), device, *versions]
        if prefixes:
            identity += [f"{kind}={prefix}" for kind, prefix in sorted(prefixes.items())]
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
        return cls(model, name=name, fingerprint=digest, languages=languages, prefixes=prefixes)

    def windows(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Cut each text into pieces that fit the window, at sentence or word borders; see :class:`Embedder`.

        Time is linear in the length of the text, and memory beyond the result is that of one block of it.
        """
        return [self._cut(text) for text in texts]

    def embed(self, texts: Sequence[str], cancel: Cancel | None = None, kind: TextKind = "passage") -> Float32Array:
        """Unit vectors, float32 [n, dimension].

        Raises:
            InputError: If a text is longer than the window.
            Interrupted: If ``cancel`` is set; it is looked at before each batch.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        prefix = self._prefixes.get(kind, "")
        for start in range(0, len(texts), _GROUP_TEXTS):
            group = [prefix + text for text in texts[start : start + _GROUP_TEXTS]]
            encodings = self._tokenizer.encode_batch(group)
            ids = [encoding.ids for encoding in encodings]
            self._check_lengths(ids)
            for rows in _batches([len(row) for row in ids], self._batch_tokens):
                if cancel is not None and cancel.is_set():
                    raise Interrupted("Embedding was stopped.", "Run it again to go on.")
                vectors[start + rows] = self._halving([ids[row] for row in rows])
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Word pieces of each text, without the special tokens around it."""
        return [sum(len(encoding) for _, _, encoding in self._blocks(text)) for text in texts]

    def _blocks(self, text: str) -> Iterator[tuple[int, str, Encoding]]:
        """Tokenise block by block, so that a long text takes linear time and little memory."""
        for start, end in _block_borders(text):
            block = text[start:end]
            yield start, block, self._tokenizer.encode(block, add_special_tokens=False)

    def _cut(self, text: str) -> list[tuple[int, int]]:
        limit = self.window - self._special - self._prefix_tokens
        pieces: list[tuple[int, int]] = []
        for start, block, encoding in self._blocks(text):
            cut = cut_windows(block, encoding.offsets, limit)
            pieces += [(start + first, start + last) for first, last in self._refine(block, cut, limit)]
        return pieces

    def _refine(self, block: str, pieces: list[tuple[int, int]], limit: int) -> Iterator[tuple[int, int]]:
        """Cut pieces again that grew: the rest of a word that was cut apart can have more tokens than before."""
        encodings = self._tokenizer.encode_batch([block[start:end] for start, end in pieces], add_special_tokens=False)
        for (start, end), encoding in zip(pieces, encodings, strict=True):
            if len(encoding) <= limit or end - start == 1:
                yield start, end
                continue
            middle = cut_windows(block[start:end], encoding.offsets, max(1, len(encoding) // 2))
            yield from self._refine(block, [(start + a, start + b) for a, b in middle], limit)

    def _check_lengths(self, ids: Sequence[Sequence[int]]) -> None:
        longest = max(map(len, ids), default=0)
        if longest > self.window:
            msg = f"A text of {longest:,} tokens is longer than the {self.window:,} of embedder '{self.name}'."
            raise InputError(msg, "Cut it with windows() first.")

    def _halving(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The vectors of a batch, or of its halves where memory runs out, and so on down to one text."""
        found = run_halving(range(len(ids)), lambda rows: [*self._forward([ids[row] for row in rows])])
        vectors = np.stack(found)
        if not np.isfinite(vectors).all():
            msg = f"The embedder {self.name} produced vectors that are not numbers."
            raise ModelError(msg, "Pull it again, or choose another embedder.")
        return vectors

    def _forward(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        import torch

        longest = max(map(len, ids))
        tokens = np.full((len(ids), longest), self._padding, dtype=np.int64)
        mask = np.zeros_like(tokens)
        for row, sequence in enumerate(ids):
            tokens[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        features = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        with self._lock, torch.inference_mode():
            device = self._model.device
            inputs = {key: torch.from_numpy(value).to(device) for key, value in features.items()}
            output = self._model(inputs)["sentence_embedding"]
            unit = torch.nn.functional.normalize(output.float(), dim=1)
        vectors: NDArray[np.float32] = unit.cpu().numpy()
        return vectors


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers, longest texts first, in batches of at most so many texts and padded tokens."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    first = 0
    while first < len(order):
        rows = max(1, min(_BATCH_TEXTS, tokens // max(1, lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


def _block_borders(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text into blocks that end after white space where there is some in the block."""
    start = 0
    while start < len(text):
        end = min(start + _BLOCK_CHARACTERS, len(text))
        if end < len(text):
            space = max(text.rfind(mark, start, end) for mark in (" ", "\n"))
            end = space + 1 if space > start else end
        yield start, end
        start = end


def _own_tokenizer(model: Any, name: str) -> Tokenizer:
    """A copy of the model's tokenizer that neither cuts nor pads, so that no other user's settings matter."""
    from tokenizers import Tokenizer

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None or getattr(model, "default_prompt_name", None):
        msg = f"The embedding model {name} needs a slow tokenizer or a prompt, which is not supported."
        raise ModelError(msg, "Use a model with a fast tokenizer and no default prompt.")
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _hash_folder(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(path).as_posix()} {hash_file(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing bars on standard error while it loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
