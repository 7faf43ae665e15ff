"""Hands any of our language models to LangChain users as a chat model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig, run_in_executor
from pydantic import ConfigDict, SkipValidation

from rereader.models.base import ChatRole, Generation, LanguageModel, Prompt, Sampling, Segment
from rereader.schema.errors import InputError

_READY: ContextVar[Mapping[tuple[Prompt, Sampling], Generation] | None] = ContextVar("_READY", default=None)
"""Replies of the batch in progress, seen only by the calls that belong to it."""


class LocalChat(BaseChatModel):
    """A LangChain chat model on top of a :class:`~rereader.models.base.LanguageModel`.

    System messages are trusted; special tokens in all others are read as plain text. ``batch`` and ``abatch`` run
    their inputs as one batch of the model. ``stop``, ``max_new_tokens``, ``temperature`` and ``seed`` may be given
    per call.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: SkipValidation[LanguageModel]
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "rereader"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model.name,
            "fingerprint": self.model.fingerprint,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Reply to several inputs with one batch of the model."""
        sampling = self._sampling(kwargs.get("stop"), kwargs)
        prompts = [to_prompt(self._convert_input(item).to_messages()) for item in inputs]
        replies = self.model.generate(prompts, sampling)
        ready = {(prompt, sampling): reply for prompt, reply in zip(prompts, replies, strict=True)}
        token = _READY.set(ready)
        try:
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        finally:
            _READY.reset(token)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Reply to several inputs with one batch of the model, without blocking the event loop."""

        def run() -> list[AIMessage]:
            return self.batch(inputs, config, return_exceptions=return_exceptions, **kwargs)

        return await run_in_executor(None, run)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt, sampling = to_prompt(messages), self._sampling(stop, kwargs)
        reply = (_READY.get() or {}).get((prompt, sampling))
        if reply is None:
            [reply] = self.model.generate([prompt], sampling)
        message = AIMessage(
            reply.text, usage_metadata=_usage(reply), response_metadata=self._about(reply.finish_reason)
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        prompt, sampling = to_prompt(messages), self._sampling(stop, kwargs)
        pieces = self.model.stream(prompt, sampling)
        texts: list[str] = []
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                reply = end.value
                break
            texts.append(piece)
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager is not None:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(message=self._last_chunk(prompt, "".join(texts), reply))

    def _last_chunk(self, prompt: Prompt, text: str, reply: object) -> AIMessageChunk:
        if isinstance(reply, Generation):
            return AIMessageChunk(
                content="", usage_metadata=_usage(reply), response_metadata=self._about(reply.finish_reason)
            )
        # Models whose stream returns no reply: count the text itself.
        counts = self.model.prompt_tokens([prompt])[0], self.model.count_tokens([text])[0]
        usage = UsageMetadata(input_tokens=counts[0], output_tokens=counts[1], total_tokens=sum(counts))
        return AIMessageChunk(content="", usage_metadata=usage, response_metadata=self._about("stop"))

    def _sampling(self, stop: Sequence[str] | None, settings: Mapping[str, Any]) -> Sampling:
        return Sampling(
            max_new_tokens=settings.get("max_new_tokens", self.max_new_tokens),
            stop=tuple(stop or ()),
            temperature=settings.get("temperature", self.temperature),
            seed=settings.get("seed", self.seed),
        )

    def _about(self, finish_reason: str) -> dict[str, str]:
        return {"model_name": self.model.name, "finish_reason": finish_reason}


def local_chat_model(model: LanguageModel, **settings: Any) -> BaseChatModel:
    """A LangChain chat model that replies with ``model``.

    Args:
        model: The model; the caller closes it.
        settings: ``max_new_tokens``, ``temperature`` or ``seed``, for all calls.
    """
    return LocalChat(model=model, **settings)


def to_prompt(messages: Sequence[BaseMessage]) -> Prompt:
    """Our prompt for LangChain messages.

    Raises:
        InputError: If a message is neither of the system, of a person nor of the model, or holds more than text.
    """
    return tuple(_segment(message) for message in messages)


def _segment(message: BaseMessage) -> Segment:
    kinds: dict[type[BaseMessage], ChatRole] = {
        SystemMessage: "system",
        HumanMessage: "user",
        AIMessage: "assistant",
    }
    role = next((role for kind, role in kinds.items() if isinstance(message, kind)), None)
    if role is None:
        msg = f"A message of type {message.type!r} cannot be given to this model."
        raise InputError(msg, "Use system, human and AI messages.")
    if any(not isinstance(part, str) and part.get("type") != "text" for part in message.content):
        raise InputError("The message holds more than text.", "Send text only.")
    return Segment(role, str(message.text), trusted=role == "system")


def _usage(reply: Generation) -> UsageMetadata:
    total = reply.prompt_tokens + reply.completion_tokens
    return UsageMetadata(input_tokens=reply.prompt_tokens, output_tokens=reply.completion_tokens, total_tokens=total)
