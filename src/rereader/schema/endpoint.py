"""How a model server is reached; the key itself is never part of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from rereader.schema.types import Frozen

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class EndpointSettings(Frozen):
    """A chat model behind a server, as in ``[endpoints.NAME]`` of the configuration.

    Args:
        model: ``PROVIDER:MODEL``, for instance ``openai:Qwen/Qwen3-4B`` for any server that speaks OpenAI's protocol.
        base_url: Where the server listens; without it the provider's own service is asked.
        api_key_env: Name of the environment variable that holds the key. With ``base_url`` and without this no key is
            sent, so that the key of one service never reaches another.
        context_window: Most tokens of prompt and reply; by default what the server says.
        timeout: Seconds that one reply may take.
        concurrency: Most requests at a time.
        retries: Most further attempts after a lost connection, status 429 or 5xx; after no reply in time, 1 at most.
        choose: Whether the server returns ``top_logprobs``; ``None`` finds out when it is first needed.
        tokenizer: A pulled model or model folder with the same tokenizer; then tokens are counted, not estimated.
    """

    model: str = Field(pattern=r"^[a-z][a-z0-9_]*:\S+$")
    base_url: str | None = None
    api_key_env: str | None = Field(default=None, pattern=_VARIABLE)
    context_window: int | None = Field(default=None, ge=256)
    timeout: float = Field(default=300.0, gt=0)
    concurrency: int = Field(default=4, ge=1, le=256)
    retries: int = Field(default=3, ge=0, le=20)
    choose: bool | None = None
    tokenizer: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_key(cls, values: object) -> object:
        if isinstance(values, dict) and {"api_key", "key", "token"} & set(values):
            msg = "a key does not belong here; put it into an environment variable and name that as api_key_env"
            raise ValueError(msg)
        return values

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = "a server's address begins with http:// or https://"
            raise ValueError(msg)
        if parts.port == 0:  # reading it refuses what is no port
            raise ValueError("a server's port is a number from 1 to 65535")
        if parts.username or parts.password or parts.query or parts.fragment:
            msg = "a server's address holds no key, user or question mark; name the key's variable as api_key_env"
            raise ValueError(msg)
        return value.rstrip("/")

    @property
    def provider(self) -> str:
        """The part of ``model`` before the colon."""
        return self.model.partition(":")[0]

    @property
    def model_name(self) -> str:
        """The model's name as the server knows it."""
        return self.model.partition(":")[2]
