"""Names of endpoints, and how LangChain's chat models of each provider are made and called."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rereader.models.base import Sampling
from rereader.models.loopback import is_loopback_url
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.errors import InputError, MissingExtra, RereaderError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

PROVIDERS: Mapping[str, str] = {
    "anthropic": "langchain_anthropic",
    "azure_ai": "langchain_azure_ai",
    "azure_openai": "langchain_openai",
    "baseten": "langchain_baseten",
    "bedrock": "langchain_aws",
    "bedrock_converse": "langchain_aws",
    "cohere": "langchain_cohere",
    "deepseek": "langchain_deepseek",
    "fireworks": "langchain_fireworks",
    "google_genai": "langchain_google_genai",
    "google_vertexai": "langchain_google_vertexai",
    "groq": "langchain_groq",
    "litellm": "langchain_litellm",
    "mistralai": "langchain_mistralai",
    "nvidia": "langchain_nvidia_ai_endpoints",
    "ollama": "langchain_ollama",
    "openai": "langchain_openai",
    "openrouter": "langchain_openrouter",
    "perplexity": "langchain_perplexity",
    "together": "langchain_together",
    "upstage": "langchain_upstage",
    "xai": "langchain_xai",
}
"""Provider, as ``init_chat_model`` knows it -> the package that it needs."""

_NAME = re.compile(
    r"(?P<model>[a-z][a-z0-9_]*:\S+?)(?:@(?P<base_url>https?://[^\s#]+)(?:#(?P<api_key_env>[A-Za-z_]\w*))?)?"
)
_OWN_RETRIES = {"langchain_anthropic", "langchain_deepseek", "langchain_groq", "langchain_openai", "langchain_xai"}
_NO_KEY = "no-key"
_OPENAI_STOPS = 4
_REPEATABLE = {"langchain_openai", "langchain_deepseek", "langchain_groq", "langchain_together", "langchain_xai"}


@dataclass(frozen=True)
class Connection:
    """A chat model, the HTTP client that was made for it (to be closed with it), and its key (to be struck out)."""

    chat: BaseChatModel
    client: Any = None
    key: str = field(default="", repr=False)


def find_endpoint(name: str, endpoints: Mapping[str, EndpointSettings]) -> EndpointSettings | None:
    """The endpoint that a model's name means: one of the configuration, or ``PROVIDER:MODEL[@URL[#KEY_VARIABLE]]``.

    Raises:
        InputError: If it is meant as an endpoint and is malformed, or its provider is unknown.
    """
    if name in endpoints:
        _known_provider(endpoints[name], name)
        return endpoints[name]
    found = _NAME.fullmatch(name)
    if found is None or found["model"].partition(":")[0] not in PROVIDERS:
        return None
    return _settings(found.groupdict())


def endpoint_name(model: str, base_url: str | None, api_key_env: str | None) -> str:
    """One name that holds model, address and the key's variable, so that a stored run can be resumed.

    A model without a provider is taken to be behind OpenAI's protocol.

    Raises:
        InputError: If an address or a variable is malformed, or one is given without an address.
    """
    if model.partition(":")[0] not in PROVIDERS:
        model = f"openai:{model}"
    settings = _settings({"model": model, "base_url": base_url, "api_key_env": api_key_env})
    if settings.base_url is None:
        raise InputError(
            "--api-key-env needs --base-url.", "Give the server's address, or set it in the configuration."
        )
    return f"{model}@{settings.base_url}" + (f"#{api_key_env}" if api_key_env else "")


def check_endpoint(settings: EndpointSettings, name: str) -> None:
    """Make sure that an endpoint could be opened, without importing its package or touching the network.

    Raises:
        InputError: If its provider is unknown or the variable of its key is not set.
        MissingExtra: If LangChain or the package of its provider is not installed.
    """
    _known_provider(settings, name)
    package = PROVIDERS[settings.provider]
    if not _installed("langchain") or (package == "langchain_openai" and not _installed(package)):
        raise MissingExtra("A model endpoint", "endpoint")
    if not _installed(package):
        distribution = package.replace("_", "-")
        msg = f"The provider {settings.provider} needs the package {distribution}, which is not installed."
        raise InputError(msg, f"Install it with: pip install {distribution}")
    _key(settings)


def connect(settings: EndpointSettings) -> Connection:
    """Make the chat model of an endpoint; the network is not touched.

    Raises:
        InputError: If the provider's package refuses the settings (a key that is not set, say).
    """
    check_endpoint(settings, settings.model)
    from langchain.chat_models import init_chat_model

    key = _key(settings)
    options: dict[str, Any] = {"base_url": settings.base_url, "api_key": key or None}
    client = None
    if PROVIDERS[settings.provider] in _OWN_RETRIES:
        options |= {"max_retries": 0, "timeout": settings.timeout}
    if settings.provider == "openai":
        client = _client(settings)
        options |= {"http_async_client": client, "stream_usage": True, "stream_chunk_timeout": settings.timeout}
        options["use_responses_api"] = False
        if settings.base_url:
            options["api_key"] = key or _NO_KEY
    given = {name: value for name, value in options.items() if value is not None}
    try:
        chat = init_chat_model(settings.model_name, model_provider=settings.provider, **given)
    except RereaderError:
        raise
    except Exception as error:
        reason = str(error).replace(key, "***") if key else str(error)
        line = reason.strip().splitlines()[0] if reason.strip() else type(error).__name__
        msg = f"The model {settings.model} cannot be set up: {line}"
        raise InputError(msg, "Name the variable that holds its key as api_key_env.") from error
    return Connection(chat, client, key)


def package_of(chat: BaseChatModel) -> str:
    """The package that a chat model comes from."""
    return type(chat).__module__.partition(".")[0]


def call_options(package: str, sampling: Sampling, window: int | None) -> dict[str, Any]:
    """The arguments with which a chat model of a package is asked for a reply.

    Args:
        package: The package of the chat model.
        sampling: How to generate.
        window: The context window to ask for, where a server takes that with the request.
    """
    limit, temperature, seed = sampling.max_new_tokens, sampling.temperature, sampling.seed
    if package == "langchain_ollama":
        options: dict[str, Any] = {"num_predict": limit, "temperature": temperature, "seed": seed, "num_ctx": window}
        options["stop"] = list(sampling.stop) or None
        return {"options": {name: value for name, value in options.items() if value is not None}}
    named: dict[str, Any] = {"temperature": temperature}
    named["max_output_tokens" if package.startswith("langchain_google") else "max_tokens"] = limit
    if package in _REPEATABLE:
        named["seed"] = seed
    if sampling.stop:
        named["stop"] = list(sampling.stop[:_OPENAI_STOPS])
    return named


def logprob_options(package: str, top: int = 0) -> dict[str, Any]:
    """The arguments that ask for log-probabilities, and for the ``top`` likeliest tokens at each place."""
    if package not in _REPEATABLE:
        return {}
    return {"logprobs": True, **({"top_logprobs": top} if top else {})}


def _settings(values: Mapping[str, str | None]) -> EndpointSettings:
    try:
        return EndpointSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]).replace("_", "-")
        # The value is not shown: someone may have typed a key.
        reason = "it is the name of an environment variable" if where == "api-key-env" else first["msg"]
        raise InputError(
            f"The endpoint's {where or 'setting'} is wrong: {reason}.", "See 'rereader ask --help'."
        ) from None


def _known_provider(settings: EndpointSettings, name: str) -> None:
    if settings.provider not in PROVIDERS:
        msg = f"The endpoint {name} names the provider {settings.provider!r}, which is unknown."
        raise InputError(msg, f"Known are {', '.join(PROVIDERS)}; most servers speak openai.")


def _key(settings: EndpointSettings) -> str:
    if settings.api_key_env is None:
        return ""
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        msg = f"The environment variable {settings.api_key_env}, which should hold the key, is not set."
        raise InputError(msg, f"Set it: export {settings.api_key_env}=...")
    return key


def _client(settings: EndpointSettings) -> Any:
    """An HTTP client of the endpoint's own: LangChain's is shared by event loops, and asks proxies for this machine."""
    from openai import DefaultAsyncHttpxClient

    address = settings.base_url or ""
    return DefaultAsyncHttpxClient(timeout=settings.timeout, trust_env=not is_loopback_url(address))


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
