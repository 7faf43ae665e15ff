"""A language model that follows a script: for tests, demonstrations and dry runs without weights."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rereader.models import scripted_kv
from rereader.models.base import (
    Attention,
    Cancel,
    Capabilities,
    FinishReason,
    Float32Array,
    Generation,
    Head,
    LanguageModel,
    Precision,
    Prompt,
    Sampling,
    TextFile,
)
from rereader.models.kvmemory import Compression, KVMemory, KVPrecision
from rereader.models.scripted_attention import HEADS, word_attention
from rereader.models.scripted_losses import repetition_losses
from rereader.models.scripted_words import TOKEN, word_spans
from rereader.schema.errors import InputError, Interrupted, ModelError

Replies = Callable[[str], str] | Sequence[str] | Mapping[str, str]
Chooser = Callable[[str, Sequence[str]], Sequence[float]]

_TAIL = 200
_SMOOTHING = 0.1
_VOCABULARY = 1000


@dataclass(frozen=True)
class ScriptedCall:
    """One prompt that a :class:`ScriptedModel` was given: the method, the rendered prompt and how to reply."""

    method: str
    prompt: str
    sampling: Sampling | None = None
    options: tuple[str, ...] = ()


def render(prompt: Prompt) -> str:
    """Return the text a script sees: every segment as ``<role>``, a line break, its text and a line break.

    Of a segment that is memory it sees what the blocks kept.
    """
    return "".join(f"<{segment.role}>\n{scripted_kv.shown(segment)}\n" for segment in prompt)


class ScriptedModel(LanguageModel):
    r"""Replies from a script; the same calls always get the same replies.

    A token is a word (a run of letters, digits and underscores) or one punctuation mark; white space is free. Sampling
    temperature and seed are recorded and otherwise ignored; ``stop`` and ``max_new_tokens`` are honoured. Every call is
    kept in :attr:`calls`, so that a test can look at the prompts.

    Args:
        replies: What to reply. A callable is given the rendered prompt (see :func:`render`). A mapping holds
            ``regular expression -> reply``; the first expression found anywhere in the prompt wins ("." matches line
            breaks). A sequence is used up in order, whatever the prompt.
        name: Name of the model.
        context_window: Most tokens of prompt and reply together.
        choose: Scores the options (natural logarithms, any offset) given the rendered prompt; by default
            :meth:`log_likelihood` does.
        attends: Whether it shows its insides: an attention (:func:`~rereader.models.scripted_attention.word_attention`)
            and losses (:func:`~rereader.models.scripted_losses.repetition_losses`), and compresses texts to blocks
            (:func:`~rereader.models.scripted_kv.excerpt`).
        tokens_per_second_in: Pretended prefill speed; adds to :attr:`virtual_seconds`, never waits.
        tokens_per_second_out: Pretended decode speed, likewise.

    Raises:
        InputError: If ``replies`` is a single string or a pattern is not a regular expression.
    """

    def __init__(
        self,
        replies: Replies,
        *,
        name: str = "scripted",
        context_window: int = 32768,
        choose: Chooser | None = None,
        attends: bool = False,
        tokens_per_second_in: float | None = None,
        tokens_per_second_out: float | None = None,
    ) -> None:
        self.name = name
        self.context_window = context_window
        self.capabilities = Capabilities(white_box=attends)
        self.fingerprint = _fingerprint(name, replies)
        self.calls: list[ScriptedCall] = []
        self.virtual_seconds = 0.0
        self._reply = _reader(replies)
        self._read: set[str] = set()
        self._chooser = choose
        self._rates = (tokens_per_second_in, tokens_per_second_out)
        self._lock = threading.RLock()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order; see :class:`LanguageModel`.

        Raises:
            ModelError: If the script has no reply to a prompt.
        """
        self._check_window(prompts, sampling.max_new_tokens)
        return [self._generate(prompt, sampling, cancel, "generate") for prompt in prompts]

    def stream(self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None = None) -> Iterator[str]:
        """Yield the reply one token at a time, each with the white space before it."""
        self._check_window([prompt], sampling.max_new_tokens)
        text = self._generate(prompt, sampling, cancel, "stream").text
        ends = [found.end() for found in TOKEN.finditer(text)]
        edges = [0, *ends[:-1], len(text)] if ends else [0, len(text)]
        for start, end in itertools.pairwise(edges):
            _check_cancel(cancel)
            yield text[start:end]

    def log_likelihood(
        self, prompts: Sequence[Prompt], continuations: Sequence[str], cancel: Cancel | None = None
    ) -> Float32Array:
        """Pretend log-probability: words that the prompt uses often are likely; float32 [n].

        Sums ``log((count + 0.1) / (words + 100))`` over the continuation's words, where ``count`` is how often the word
        occurs in the prompt (case ignored) and ``words`` is the prompt's length.

        Raises:
            InputError: If there is not one continuation per prompt.
        """
        if len(prompts) != len(continuations):
            msg = f"{len(prompts)} prompts were given with {len(continuations)} continuations."
            raise InputError(msg, "Give one continuation per prompt.")
        _check_cancel(cancel)
        texts = [render(prompt) for prompt in prompts]
        for text, continuation in zip(texts, continuations, strict=True):
            self._record(ScriptedCall("log_likelihood", text, options=(continuation,)), len(_words(text)))
        pairs = zip(texts, continuations, strict=True)
        return np.array([_overlap(text, end) for text, end in pairs], dtype=np.float32)

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each option: float32 [n, k]; see :class:`LanguageModel`.

        Raises:
            ModelError: If the ``choose`` callable does not return one number per option.
        """
        self._check_window(prompts, 1)
        scores = np.zeros((len(prompts), len(options)), dtype=np.float64)
        for row, prompt in enumerate(prompts):
            _check_cancel(cancel)
            scores[row] = self._scores(render(prompt), options)
        if null is not None:
            scores -= self._scores(render(null), options)
        scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return scores.astype(np.float32)

    @property
    def retrieval_heads(self) -> tuple[Head, ...]:
        """One of the two, if it shows an attention."""
        return HEADS[:1] if self.capabilities.white_box else ()

    def all_heads(self) -> list[Head]:
        """Two heads that are alike, if it shows an attention."""
        return list(HEADS) if self.capabilities.white_box else super().all_heads()

    def attention(
        self,
        prompt: Prompt,
        heads: Sequence[Head],
        cancel: Cancel | None = None,
        keep: TextFile | None = None,
        *,
        whole: bool = False,
    ) -> Attention:
        """Where words after the text look: at the same words in it; see :class:`LanguageModel`."""
        if not self.capabilities.white_box:
            return super().attention(prompt, heads, cancel, keep, whole=whole)
        _check_cancel(cancel)
        self._check_window([prompt], 0)
        kept = _kept(prompt)
        with self._lock:
            held = max([0, *(size for text, size in kept.items() if text in self._read)])
            self._read = set(kept)
        found = word_attention(prompt, heads)
        self._record(ScriptedCall("attention", render(prompt)), len(found.ids) - held)
        return replace(found, read=len(found.ids) - held)

    def text_bytes(self, tokens: int, precision: Precision, heads: Sequence[Head] = ()) -> int:
        """None: it reads nothing that could be kept."""
        return 0

    def token_spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Words and punctuation marks of each text."""
        return [word_spans(text) for text in texts]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """A number for each word and punctuation mark."""
        return [[zlib.crc32(word.encode()) for word in _words(text)] for text in texts]

    def token_losses(
        self, ids: Sequence[int], context_lengths: Sequence[int], first: int = 0, cancel: Cancel | None = None
    ) -> Float32Array:
        """Small losses for what stood after the same word before, if it shows its insides; see :class:`LanguageModel`.

        See :func:`~rereader.models.scripted_losses.repetition_losses`.
        """
        if not self.capabilities.white_box:
            return super().token_losses(ids, context_lengths, first, cancel)
        _check_cancel(cancel)
        if any(length < 1 or min(length, len(ids)) > self.context_window for length in context_lengths):
            raise InputError("A context has at least one token and fits the window.")
        self._record(ScriptedCall("token_losses", " ".join(map(str, ids))), len(ids) * len(context_lengths))
        rows = [repetition_losses(ids, length) for length in context_lengths]
        losses = np.stack(rows) if rows else np.zeros((0, len(ids)), dtype=np.float32)
        losses[:, :first] = 0
        return losses

    def compress_kv(
        self, prompts: Sequence[Prompt], compression: Compression, cancel: Cancel | None = None
    ) -> list[KVMemory]:
        """Blocks that keep the rarest words, if it shows its insides; see :class:`LanguageModel`."""
        if not self.capabilities.white_box:
            return super().compress_kv(prompts, compression, cancel)
        self._check_window(prompts, 0)
        blocks: list[KVMemory] = []
        for prompt in prompts:
            _check_cancel(cancel)
            self._record(ScriptedCall("compress_kv", render(prompt)), len(_words(render(prompt))))
            blocks.append(scripted_kv.compress(self.fingerprint, prompt, compression))
        return blocks

    def load_kv(self, path: Path) -> KVMemory:
        """A block from its file, if it shows its insides; see :class:`LanguageModel`."""
        if not self.capabilities.white_box:
            return super().load_kv(path)
        return scripted_kv.load(path, self.fingerprint)

    def kv_bytes(self, tokens: int, compression: Compression, precision: KVPrecision) -> int:
        """Bytes of a block on disk, if it shows its insides; see :class:`LanguageModel`."""
        if not self.capabilities.white_box:
            return super().kv_bytes(tokens, compression, precision)
        return scripted_kv.kv_bytes(tokens, compression, precision)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words and punctuation marks of each text."""
        return [len(_words(text)) for text in texts]

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt's texts and role marks."""
        return self.count_tokens([render(prompt) for prompt in prompts])

    def _generate(self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None, method: str) -> Generation:
        _check_cancel(cancel)
        rendered = render(prompt)
        with self._lock:
            self.calls.append(ScriptedCall(method, rendered, sampling))
            reply = self._reply(rendered)
        text, reason = _cut(reply, sampling)
        ids = tuple(zlib.crc32(word.encode()) for word in _words(text))
        read = len(_words(rendered))
        self._charge(read, len(ids))
        return Generation(text, ids, reason, read, (0.0,) * len(ids))

    def _scores(self, prompt: str, options: Sequence[str]) -> Sequence[float]:
        self._record(ScriptedCall("choose", prompt, options=tuple(options)), len(_words(prompt)))
        if self._chooser is None:
            return [_overlap(prompt, option) for option in options]
        scores = self._chooser(prompt, options)
        if len(scores) != len(options):
            msg = f"The script of model '{self.name}' gave {len(scores)} scores for {len(options)} options."
            raise ModelError(msg, "Return one number per option from the choose callable.")
        return scores

    def _record(self, call: ScriptedCall, tokens: int) -> None:
        with self._lock:
            self.calls.append(call)
        self._charge(tokens, 0)

    def _charge(self, tokens_in: int, tokens_out: int) -> None:
        rate_in, rate_out = self._rates
        with self._lock:
            self.virtual_seconds += tokens_in / rate_in if rate_in else 0.0
            self.virtual_seconds += tokens_out / rate_out if rate_out else 0.0

    def _check_window(self, prompts: Sequence[Prompt], new_tokens: int) -> None:
        for tokens in self.prompt_tokens(prompts):
            if tokens + new_tokens > self.context_window:
                msg = (
                    f"A prompt of {tokens:,} tokens and a reply of {new_tokens:,} do not fit the "
                    f"{self.context_window:,} tokens of model '{self.name}'."
                )
                raise InputError(msg, "Shorten the prompt, ask for fewer tokens or use a larger model.")


def _kept(prompt: Prompt) -> dict[str, int]:
    """What of a prompt is kept for the next one, each with its tokens."""
    ends = [place + 1 for place, segment in enumerate(prompt) if segment.cacheable]
    texts = {render(prompt[:end]): prompt[:end] for end in ends}
    return {text: sum(len(_words(scripted_kv.shown(one))) for one in part) for text, part in texts.items()}


def _words(text: str) -> list[str]:
    return TOKEN.findall(text)


def _check_cancel(cancel: Cancel | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Interrupted("The model was stopped before it finished its reply.", "Resume the run to go on.")


def _cut(reply: str, sampling: Sampling) -> tuple[str, FinishReason]:
    """End the reply before the first stop string, then after ``max_new_tokens`` tokens."""
    places = [place for stop in sampling.stop if stop and (place := reply.find(stop)) >= 0]
    text = reply[: min(places)] if places else reply
    tokens = list(TOKEN.finditer(text))
    if len(tokens) <= sampling.max_new_tokens:
        return text, "stop"
    end = tokens[sampling.max_new_tokens - 1].end() if sampling.max_new_tokens > 0 else 0
    return text[:end], "length"


def _overlap(prompt: str, continuation: str) -> float:
    words = _words(prompt.lower())
    counts = Counter(words)
    total = len(words) + _SMOOTHING * _VOCABULARY
    return sum(math.log((counts[word] + _SMOOTHING) / total) for word in _words(continuation.lower()))


def _fingerprint(name: str, replies: Replies) -> str:
    """Hash the name and what can be read of the script; two callables of one name look alike."""
    if isinstance(replies, Mapping):
        script: object = [list(item) for item in replies.items()]
    else:
        script = "callable" if callable(replies) else list(replies)
    return hashlib.sha256(json.dumps(["scripted", name, script]).encode()).hexdigest()


def _reader(replies: Replies) -> Callable[[str], str]:
    if isinstance(replies, str):
        raise InputError("A script is not one string.", "Give a list of replies, a mapping or a callable.")
    if isinstance(replies, Mapping):
        return _from_mapping(replies)
    return replies if callable(replies) else _from_sequence(replies)


def _from_mapping(replies: Mapping[str, str]) -> Callable[[str], str]:
    try:
        rules = [(re.compile(pattern, re.DOTALL), reply) for pattern, reply in replies.items()]
    except re.error as error:
        msg = f"A script's pattern is not a regular expression: {error}."
        raise InputError(msg, "Escape it with re.escape().") from error

    def reply_to(prompt: str) -> str:
        for pattern, reply in rules:
            if pattern.search(prompt):
                return reply
        msg = f"No pattern of the script matches the prompt that ends: {prompt[-_TAIL:]!r}."
        raise ModelError(msg, "Add a pattern for it, or '' as the last one to match everything.")

    return reply_to


def _from_sequence(replies: Sequence[str]) -> Callable[[str], str]:
    queue = iter(list(replies))

    def reply_to(prompt: str) -> str:
        for reply in queue:
            return reply
        msg = f"The script's {len(replies)} replies are used up at the prompt that ends: {prompt[-_TAIL:]!r}."
        raise ModelError(msg, "Add a reply, or use a mapping or a callable.")

    return reply_to
