"""The interfaces that every model implements. Knows nothing of documents, torch or LangGraph."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rereader.models.kvmemory import Compression, KVMemory, KVPrecision
from rereader.schema.errors import InputError, ModelError

if TYPE_CHECKING:  # whoever only tells what a model was asked needs no arrays
    import numpy as np
    from numpy.typing import NDArray

Float32Array: TypeAlias = "NDArray[np.float32]"
TextKind = Literal["query", "passage"]
ChatRole = Literal["system", "user", "assistant"]
Precision = Literal["exact", "int8"]
FinishReason = Literal["stop", "length", "interrupted"]


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt that is tokenised on its own.

    Args:
        role: Whose turn the text belongs to; neighbouring segments of one role form one turn.
        text: The text.
        trusted: False for anything that comes from a document, a question or a model: special tokens in it are read
            as plain text.
        cacheable: Whether a prefix that ends here is worth keeping for the next prompt.
        span: ``(document_id, start, end)`` when the text is a slice of a document.
        memory: Compressed texts that are read here, side by side, instead of a text. At most one segment of a prompt
            has any; its text is empty.
    """

    role: ChatRole
    text: str
    trusted: bool = True
    cacheable: bool = False
    span: tuple[str, int, int] | None = None
    memory: tuple[KVMemory, ...] = ()


Prompt = tuple[Segment, ...]


@dataclass(frozen=True)
class Generation:
    """A reply: its text, the generated token ids, why it ended, and one log-probability per token.

    A server gives no token ids, and perhaps no log-probabilities; then ``written`` is the number of tokens it counted.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    logprobs: tuple[float, ...] = ()
    written: int | None = None

    @property
    def completion_tokens(self) -> int:
        """Tokens generated."""
        return len(self.token_ids) if self.written is None else self.written


@dataclass(frozen=True)
class Sampling:
    """How to generate. ``temperature`` 0 is greedy; ``seed`` makes sampling repeatable per prompt."""

    max_new_tokens: int = 128
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Refuse settings that no model can follow.

        Raises:
            InputError: If ``max_new_tokens`` or ``temperature`` is negative.
        """
        if self.max_new_tokens < 0 or not self.temperature >= 0:
            raise InputError("max_new_tokens and temperature must not be negative.")


@dataclass(frozen=True)
class Capabilities:
    """What a model can do; checked per role before anything runs."""

    generate: bool = True
    stream: bool = True
    choose: bool = True
    likelihood: bool = True
    white_box: bool = False


class Head(NamedTuple):
    """An attention head, both numbers from 0."""

    layer: int
    head: int


@dataclass(frozen=True)
class Attention:
    """Where the tokens that follow a text look: softmax rows, averaged in two ways; every average sums to 1.

    Args:
        by_query: Mean over the heads: float32 [queries, tokens]; queries are all tokens after the text, to the end of
            the prompt, tokens are those of the whole prompt.
        by_head: Mean over the tokens of the segments after the text, without what the chat template puts around them:
            float32 [heads, tokens].
        peaks: The token that each head looks at most from each query: int64 [heads, queries].
        ranges: Token range ``[start, end)`` of each segment of the prompt; of a segment with memory, the places of its
            blocks, one block after the other.
        ids: The prompt's tokens; numbers below zero at the places of memory.
        read: Tokens that went through the model, those after the text included; what was read before does not count.
    """

    by_query: Float32Array
    by_head: Float32Array
    peaks: NDArray[np.int64]
    ranges: tuple[tuple[int, int], ...]
    ids: tuple[int, ...]
    read: int


@dataclass(frozen=True)
class TextFile:
    """Where the keys and values of a text are kept for other processes.

    Args:
        path: The file.
        precision: ``exact``, or ``int8`` at about a quarter of the size of float32.
    """

    path: Path
    precision: Precision = "exact"


Cancel = threading.Event


@dataclass(frozen=True)
class Device:
    """Where a model runs and how: a torch device string, dtype name and batch sizes per phase."""

    device: str = "cpu"
    dtype: str = "float32"
    prefill_batch: int = 8
    decode_batch: int = 8
    notes: tuple[str, ...] = field(default=())


class LanguageModel(ABC):
    """A text model, batch first. Implementations are safe to call from several threads."""

    name: str
    fingerprint: str
    """Identifies everything that decides a reply: weights, adapter, tokenizer, template, dtype, device, versions."""
    context_window: int
    capabilities: Capabilities
    device: str = "cpu"

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order.

        Raises:
            InputError: If a prompt plus ``max_new_tokens`` does not fit the context window.
            Interrupted: If ``cancel`` is set before the last token.
            ModelError: If the model fails.
        """

    @abstractmethod
    def stream(self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None = None) -> Iterator[str]:
        """Yield the reply's text piece by piece; the pieces join to what :meth:`generate` returns."""

    @abstractmethod
    def log_likelihood(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[str],
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Natural log-probability of ``continuations[i]`` after ``prompts[i]``, summed over tokens: float32 [n]."""

    @abstractmethod
    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each option as the reply: float32 [n, k], each row log-normalised over the options.

        Single-token options (at most 26 letter labels) are read off the last position; otherwise the whole option is
        scored on a shared prefix. With ``null`` (the same prompt without its content) the options' log-probabilities
        under it are subtracted first, which removes the model's liking for a label.
        """

    @abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text on its own, special tokens read as plain text."""

    @abstractmethod
    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each rendered prompt, chat template included."""

    @property
    def waited(self) -> float:
        """Seconds that calls have waited so far for other processes before they computed."""
        return 0.0

    @property
    def loading(self) -> float:
        """Seconds that calls have spent so far on loading weights; 0 for a model that has them from the beginning."""
        return 0.0

    @property
    def idle(self) -> float:
        """Seconds of calls so far in which the model did not compute."""
        return self.waited + self.loading

    @property
    def retrieval_heads(self) -> tuple[Head, ...]:
        """Heads that look at what answers a question, best first; none where nobody has looked for them.

        Raises:
            InputError: If the list cannot be read.
        """
        return ()

    def notices(self) -> tuple[str, ...]:
        """What the user should know of the calls so far, such as that tokens were estimated."""
        return ()

    def all_heads(self) -> list[Head]:
        """Every attention head, layer by layer.

        Raises:
            ModelError: If the model does not show them.
        """
        raise self._hidden()

    def attention(
        self,
        prompt: Prompt,
        heads: Sequence[Head],
        cancel: Cancel | None = None,
        keep: TextFile | None = None,
        *,
        whole: bool = False,
    ) -> Attention:
        """Where what follows a prompt's last cacheable segment looks, by chosen heads; memory counts as cacheable.

        The text up to there is read once and held, so the next question goes on from it. It is read no deeper than the
        deepest head, unless it is to be read ``whole``: then a reply to the same prompt goes on from it, too. With
        ``keep`` what stands before the first cacheable segment's end is taken from that file, or put there if the file
        is missing or cannot be used.

        Raises:
            InputError: If a head does not exist, nothing is cacheable, or the prompt does not fit the window.
            ModelError: If the model does not show its attention (``capabilities.white_box``).
        """
        raise self._hidden()

    def text_bytes(self, tokens: int, precision: Precision, heads: Sequence[Head] = ()) -> int:
        """Bytes that a kept text of so many tokens takes on disk, read no deeper than some heads, or whole.

        Raises:
            ModelError: If the model keeps no texts.
        """
        raise self._hidden()

    def token_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Characters ``[start, end)`` of each token of each untrusted text; tokens of one character share it.

        Raises:
            ModelError: If the model's tokens are not known here.
        """
        raise self._hidden()

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each untrusted text on its own; as many as :meth:`token_spans` has.

        Raises:
            ModelError: If the model's tokens are not known here.
        """
        raise self._hidden()

    def token_losses(
        self, ids: Sequence[int], context_lengths: Sequence[int], first: int = 0, cancel: Cancel | None = None
    ) -> Float32Array:
        """Loss (natural logarithm) of each token of a bare text, with longer and shorter contexts.

        A token is foretold from at most ``context_lengths[k]`` tokens before it, and from at least half as many or all
        there are. Tokens before ``first`` are context only; they get 0, as does a first token that nothing stands
        before.

        Returns:
            float32 [k, tokens].

        Raises:
            InputError: If a token does not exist, or a length is below 1 or does not fit the window.
            ModelError: If the model does not tell (``capabilities.white_box``).
        """
        raise self._hidden()

    def compress_kv(
        self, prompts: Sequence[Prompt], compression: Compression, cancel: Cancel | None = None
    ) -> list[KVMemory]:
        """Compress texts, each on its own and without a question, to keys and values that stand in for them.

        A prompt's last segment is the text; what stands before it is read first and not kept. A block is read best
        after the same beginning: at ratio 1 that gives, up to rounding in bfloat16, what reading the text there would
        give.

        Raises:
            InputError: If a setting is unknown, a text is empty, or a prompt does not fit the window.
            ModelError: If the model's keys cannot be taken out (``capabilities.white_box``).
        """
        raise self._hidden()

    def compress_tokens(self, prompts: Sequence[Prompt], compression: Compression) -> list[int]:
        """Tokens that go through the model when :meth:`compress_kv` is given each prompt; some read a text twice.

        Raises:
            InputError: If a setting is unknown.
        """
        return self.prompt_tokens(prompts)

    def load_kv(self, path: Path) -> KVMemory:
        """A compressed text from its file.

        Raises:
            FileNotFoundError: If there is none.
            ModelError: If the model reads no compressed texts.
            UnusableBlock: If it is damaged, or another model's.
        """
        raise self._hidden()

    def kv_bytes(self, tokens: int, compression: Compression, precision: KVPrecision) -> int:
        """Bytes that a compressed text of so many tokens takes on disk, about.

        Raises:
            ModelError: If the model compresses no texts.
        """
        raise self._hidden()

    def _hidden(self) -> ModelError:
        msg = f"{self.name} does not show what goes on inside it."
        return ModelError(msg, "Choose a local model that transformers runs, with --role scorer=NAME.")

    def close(self) -> None:  # noqa: B027 - most models hold nothing to release
        """Release what the model holds; it must not be used afterwards."""


class Embedder(ABC):
    """Turns texts into unit vectors."""

    name: str
    fingerprint: str
    dimension: int
    window: int
    """Longest input in tokens."""
    languages: tuple[str, ...] = ("*",)
    """ISO 639-1 codes of the languages it was trained on; ``*`` stands for any."""

    @abstractmethod
    def windows(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Cut each text into pieces ``[start, end)`` (code points) that fit the window and cover every character."""

    @abstractmethod
    def embed(self, texts: Sequence[str], cancel: Cancel | None = None, kind: TextKind = "passage") -> Float32Array:
        """Unit vectors, float32 [n, dimension]; a text longer than the window is an error, never cut in silence.

        Some models tell questions (``kind="query"``) from what they are compared with; to others they are the same.
        """

    @abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
