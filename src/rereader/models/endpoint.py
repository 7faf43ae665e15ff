"""A language model behind a server, through any of LangChain's chat models."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from rereader import __version__
from rereader.models.background import Background, together
from rereader.models.base import Cancel, Capabilities, Float32Array, Generation, LanguageModel, Prompt, Sampling
from rereader.models.failures import Server, unreadable
from rereader.models.messages import Turn, turns
from rereader.models.normalise import log_normalise
from rereader.models.providers import Connection, call_options, connect, logprob_options, package_of
from rereader.models.replies import (
    Bound,
    SoundText,
    StopText,
    cut,
    finish_reason,
    is_plausible,
    label_logprobs,
    logprobs_of,
    reason_of,
    shortened,
    sound,
    usage_of,
    was_withheld,
)
from rereader.models.requests import Requests
from rereader.models.serverinfo import asked_window
from rereader.models.tokens import TokenCounter, tiktoken_counter
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.errors import InputError, ModelError, RereaderError

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk

T = TypeVar("T")
CAPABILITIES = Capabilities(choose=False, likelihood=False)
"""What every endpoint can do; ``choose`` is added where the server returns the likeliest tokens."""
ASSUMED_WINDOW = 8192
_MARGIN = 1.2
"""Reserved for each token counted with another tokenizer than the server's."""
_TURN_TOKENS = 12
"""Reserved for a turn's marks in the server's chat template."""
_CERTAIN = 0.7
"""Of a prompt's tokens counted with another tokenizer, at least this share is certain."""
_MOST_LABELS = 20
_MOST_OVERRUN = 2
"""A reply is cut off where it has so many times the tokens that it was allowed: servers count otherwise than we do."""


@dataclass(frozen=True)
class _Made:
    """A prompt as it is sent, and its tokens by our counter."""

    turns: list[Turn]
    tokens: int


class ChatEndpoint(LanguageModel):
    """A chat model of LangChain's as a language model: batched, retried, cancelled at once, its tokens accounted for.

    Requests run on an event loop of the endpoint's own, at most ``concurrency`` at a time; when ``cancel`` is set they
    are dropped and their connections closed, so that most servers stop as well. What a server refuses to be asked
    (log-probabilities, a seed) is left out from then on and said in :meth:`notices`.

    ``token_ids`` of a reply are empty; ``logprobs`` are there if the server gives them. Prompts are turned into
    messages by :func:`rereader.models.messages.turns`. Tokens are reserved with a margin and counted by the server.

    Args:
        connection: The chat model (:func:`rereader.models.providers.connect`, or one of your own in a ``Connection``).
        settings: How the server is reached.
        name: Name shown to the user; by default the model's.
        counter: Counts tokens; by default tiktoken's cl100k. One that starts with ``tokenizer-`` is taken to be the
            model's own.
    """

    def __init__(
        self,
        connection: Connection,
        settings: EndpointSettings,
        *,
        name: str = "",
        counter: TokenCounter | None = None,
    ) -> None:
        self.name = name or settings.model_name
        self.settings = settings
        self.capabilities = Capabilities(choose=settings.choose is True, likelihood=False)
        self.fingerprint = fingerprint(settings)
        self.device = "server"
        self._chat, self._client = connection.chat, connection.client
        self._package = package_of(connection.chat)
        self._counter = counter or tiktoken_counter()
        self._own_tokens = self._counter.name.startswith("tokenizer-")
        self._counted: dict[str, int] = {}
        where = settings.base_url or settings.provider
        self._server = Server(settings.model_name, where, settings.api_key_env, connection.key, settings.timeout)
        self._window = settings.context_window
        self._notices: dict[str, None] = {}
        self._lock = threading.Lock()
        self._requests = Requests(self._chat, self._server, settings.concurrency, settings.retries, self._note)
        self._background = Background(f"endpoint {self.name}")

    @classmethod
    def connect(
        cls, settings: EndpointSettings, *, name: str = "", counter: TokenCounter | None = None
    ) -> ChatEndpoint:
        """The endpoint of these settings; the network is not touched before the first call.

        Raises:
            InputError: If the provider is unknown, its key is not set or its package is missing.
        """
        return cls(connect(settings), settings, name=name, counter=counter)

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and reply: as set, as the server says, or assumed (and said so).

        A tenth is kept back where tokens are counted with another tokenizer than the server's.
        """
        with self._lock:
            if self._window is None:
                self._window = asked_window(self._chat, self.settings, self._server.key)
            window = self._window
        if window is None:
            self._window = window = ASSUMED_WINDOW
            self._note(
                f"The server does not say how much {self.name} reads at once; {ASSUMED_WINDOW:,} tokens are assumed. "
                "Set context_window for it in the configuration."
            )
        return window if self._own_tokens else window * 9 // 10

    @context_window.setter
    def context_window(self, tokens: int) -> None:
        """Set what the server allows."""
        self._window = tokens

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, cancel: Cancel | None = None) -> list[Generation]:
        """Reply to each prompt, in order; see :meth:`LanguageModel.generate`.

        An error carries the replies that were there before it (``finished``).
        """
        made = self._ready(prompts, sampling)
        if sampling.max_new_tokens == 0:
            return [Generation("", (), "length", one.tokens) for one in made]
        return self._together([partial(self._reply, one, sampling) for one in made], cancel)

    def stream(
        self, prompt: Prompt, sampling: Sampling, cancel: Cancel | None = None
    ) -> Generator[str, None, Generation]:
        """Yield the reply's text piece by piece; the generator's return value is the whole reply.

        Work starts with the first piece that is asked for and stops when the generator is closed.
        """
        [made] = self._ready([prompt], sampling)
        return self._pieces(made, sampling, cancel)

    def log_likelihood(
        self, prompts: Sequence[Prompt], continuations: Sequence[str], cancel: Cancel | None = None
    ) -> Float32Array:
        """Chat servers do not score given text.

        Raises:
            ModelError: Always.
        """
        msg = f"The endpoint {self.name} cannot score text that it did not write."
        raise ModelError(msg, "Choose a local model with --role scorer=NAME.")

    def choose(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[str],
        null: Prompt | None = None,
        cancel: Cancel | None = None,
    ) -> Float32Array:
        """Log-probability of each single-token option as the reply: float32 [n, k], from the server's likeliest tokens.

        Raises:
            InputError: If there are no options, more than 20, or two that read alike.
            ModelError: If the server does not return the likeliest tokens.
        """
        labels = [option.strip() for option in options]
        if not 0 < len(labels) <= _MOST_LABELS or len(set(labels)) < len(labels) or not all(labels):
            msg = f"A server tells the likelihood of 1 to {_MOST_LABELS} different labels; {len(options)} were given."
            raise InputError(msg, "Use single letters as labels, or a local scorer.")
        if self.settings.choose is False:
            raise self._cannot_choose()
        if not prompts:
            return np.zeros((0, len(labels)), dtype=np.float32)
        made = self._ready([*prompts, *([null] if null else [])], Sampling(max_new_tokens=1))
        try:
            rows = self._together([partial(self._label_scores, one, labels) for one in made], cancel)
        except RereaderError as error:
            known = null is None or len(prompts) in error.finished
            error.finished = _normalised(error.finished, len(prompts)) if known else {}
            raise
        self.capabilities = Capabilities(choose=True, likelihood=False)
        return np.stack(list(_normalised(dict(enumerate(rows)), len(prompts)).values()))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by the counter that is at hand."""
        return self._counter(texts)

    def prompt_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens to reserve for each prompt: more than the server will count, if its tokenizer is anything usual."""
        margin = 1.0 if self._own_tokens else _MARGIN
        made = self._made(prompts)
        return [math.ceil(one.tokens * margin) + _TURN_TOKENS * (len(one.turns) + 1) for one in made]

    def notices(self) -> tuple[str, ...]:
        """What the user should know of the calls so far, each once."""
        with self._lock:
            return tuple(self._notices)

    def close(self) -> None:
        """Drop what is under way and close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            self._background.run(client.aclose())
        self._background.close()

    def _together(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], cancel: Cancel | None) -> list[T]:
        finished: dict[int, T] = {}
        try:
            return self._background.run(together(jobs, finished), cancel)
        except RereaderError as error:
            error.finished = dict(finished)  # requests that are being cancelled may still come to their end
            raise

    def _ready(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[_Made]:
        sampling.check()
        made = self._made(prompts)
        window = self.context_window
        for one in made:
            certain = one.tokens if self._own_tokens else int(one.tokens * _CERTAIN)
            if certain + sampling.max_new_tokens > window:
                msg = (
                    f"A prompt of about {one.tokens:,} tokens and {sampling.max_new_tokens:,} more for the reply do "
                    f"not fit into the {window:,} tokens that {self.name} reads at once."
                )
                raise InputError(msg, "Use smaller chunks, a shorter question, or raise the endpoint's context_window.")
        return made

    def _made(self, prompts: Sequence[Prompt]) -> list[_Made]:
        """Prompts with their tokens; texts of the prompts that were counted last are not counted again."""
        made = [turns(prompt) for prompt in prompts]
        texts = list(dict.fromkeys(text for one in made for _, text in one))
        known = self._counted
        fresh = [text for text in texts if text not in known]
        counts = {**known, **dict(zip(fresh, self._counter(fresh), strict=True))}
        self._counted = {text: counts[text] for text in texts}
        return [_Made(one, sum(counts[text] for _, text in one)) for one in made]

    def _options(self, sampling: Sampling, top: int | None = None) -> dict[str, Any]:
        """A request's arguments; ``top`` (0 for none) asks for log-probabilities and so many likely tokens."""
        options = call_options(self._package, sampling, self.settings.context_window)
        return options if top is None else {**options, **logprob_options(self._package, top)}

    async def _reply(self, made: _Made, sampling: Sampling) -> Generation:
        message = await self._requests.ask(made.turns, self._options(sampling, top=0))
        return self._generation(made, sampling, message, cut(sound(str(message.text)), sampling.stop))

    async def _label_scores(self, made: _Made, labels: list[str]) -> list[float]:
        message = await self._requests.ask(made.turns, self._options(Sampling(max_new_tokens=1), top=_MOST_LABELS))
        scores = label_logprobs(message.response_metadata, labels)
        if scores is None:
            self.capabilities = CAPABILITIES
            raise self._cannot_choose()
        return scores

    def _pieces(self, made: _Made, sampling: Sampling, cancel: Cancel | None) -> Generator[str, None, Generation]:
        replies: list[Generation] = []
        yield from self._background.stream(self._streamed(made, sampling, replies), cancel)
        return replies[0]

    async def _streamed(self, made: _Made, sampling: Sampling, replies: list[Generation]) -> AsyncIterator[str]:
        """The reply's pieces; the whole reply is put into ``replies`` at the end."""
        if sampling.max_new_tokens == 0:
            replies.append(Generation("", (), "length", made.tokens))
            return
        pieces, text, whole = SoundText(), StopText(sampling.stop), None
        bound = Bound(sampling.max_new_tokens * _MOST_OVERRUN, self._counter)
        async with aclosing(self._requests.stream(made.turns, self._options(sampling))) as chunks:
            async for chunk in chunks:
                whole = chunk if whole is None else cast("AIMessageChunk", whole + chunk)
                piece = pieces.push(str(chunk.text))
                if not bound.holds(piece):
                    break
                if ready := text.push(piece):
                    yield ready
        if rest := text.push(pieces.finish()) + text.finish():
            yield rest
        tells = self._package == "langchain_openai" and not bound.passed
        if whole is None or (tells and not reason_of(whole.response_metadata)):
            raise unreadable("the stream broke off", self._server)
        replies.append(self._generation(made, sampling, whole, text.text))

    def _generation(self, made: _Made, sampling: Sampling, message: AIMessage, text: str) -> Generation:
        metadata = message.response_metadata
        ours = self._counter([text])[0]
        read, written = self._usage(made, sampling, message, ours)
        if was_withheld(metadata):
            self._note(f"The server of {self.name} withheld a reply or a part of one (content filter).")
        if written > sampling.max_new_tokens:
            self._note(f"The server of {self.name} wrote more tokens than it was allowed; the budget may be overrun.")
        most = sampling.max_new_tokens * _MOST_OVERRUN
        kept = shortened(text, most, self._counter) if ours > most else text
        return Generation(kept, (), finish_reason(metadata), read, logprobs_of(metadata), written)

    def _usage(self, made: _Made, sampling: Sampling, message: AIMessage, written: int) -> tuple[int, int]:
        """Tokens read and written: as the server counts them, if it does and that can be."""
        told = usage_of(message)
        counted = made.tokens + _TURN_TOKENS * len(made.turns), written
        if told is None:
            self._note(f"The server of {self.name} does not count tokens; usage is estimated ({self._counter.name}).")
        elif not is_plausible(told, counted, sampling.max_new_tokens):
            self._note(f"The server of {self.name} miscounts tokens; usage is estimated ({self._counter.name}).")
        else:
            return told
        return counted

    def _cannot_choose(self) -> ModelError:
        msg = f"The server of {self.name} does not tell the likeliest tokens, so it cannot choose between options."
        return ModelError(msg, "Choose a local model with --role scorer=NAME.")

    def _note(self, text: str) -> None:
        with self._lock:
            self._notices[text] = None


def _normalised(rows: Mapping[int, list[float]], count: int) -> dict[int, Float32Array]:
    """Rows of the first ``count`` prompts as log-probabilities, by position; the null prompt's comes after them."""
    null = np.array(rows[count], dtype=np.float32) if count in rows else None
    return {
        position: log_normalise(np.array([row], dtype=np.float32), null)[0]
        for position, row in rows.items()
        if position < count
    }


def fingerprint(settings: EndpointSettings) -> str:
    """sha256 over address, model and our version; what a server does behind its model's name is not known."""
    parts = ["endpoint", __version__, settings.model, settings.base_url, settings.context_window]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
