"""What a server says of its models: their names and how much they read at once."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rereader.models.loopback import is_loopback_url
from rereader.schema.endpoint import EndpointSettings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_SECONDS = 5.0
_MOST_BYTES = 1 << 22
_FIELDS = ("max_model_len", "context_length", "max_context_length", "context_window", "n_ctx")


def asked_window(chat: BaseChatModel, settings: EndpointSettings, key: str) -> int | None:
    """Tokens of prompt and reply that the server allows, or ``None`` if it does not say (or does not answer).

    vLLM says it as ``max_model_len`` in the list of its models, a llama.cpp server as ``meta.n_ctx``; for hosted models
    LangChain's own table is asked.
    """
    if settings.base_url and settings.provider == "openai":
        return window_of(list_models(settings.base_url, key), settings.model_name)
    if settings.base_url:
        return None
    profile = getattr(chat, "profile", None)
    window = profile.get("max_input_tokens") if isinstance(profile, Mapping) else None
    return window if isinstance(window, int) and window > 0 else None


def list_models(base_url: str, key: str) -> list[Mapping[str, Any]]:
    """The entries of ``BASE_URL/models``; none if there is no such list."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{base_url}/models", headers=headers)
    handlers = [urllib.request.ProxyHandler({})] if is_loopback_url(base_url) else []
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS) as reply:
            entries = json.loads(reply.read(_MOST_BYTES))["data"]
    # The call itself will say what is wrong with the server.
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def window_of(entries: list[Mapping[str, Any]], model: str) -> int | None:
    """The window of a model in such a list; of the only one in it, whatever its name."""
    named = [entry for entry in entries if entry.get("id") == model] or (entries if len(entries) == 1 else [])
    return next((window for entry in named for window in _windows(entry)), None)


def _windows(entry: Mapping[str, Any]) -> Iterator[int]:
    meta = entry.get("meta")
    for holder in (entry, meta if isinstance(meta, Mapping) else {}):
        values = [holder.get(field) for field in _FIELDS]
        yield from (value for value in values if isinstance(value, int) and value > 0)
