"""Naming endpoints: in the configuration, on the command line, in stored runs; and what is refused before a call."""

from dataclasses import replace
from pathlib import Path

import pytest
from langchain.chat_models.base import _BUILTIN_PROVIDERS
from pydantic import ValidationError

from rereader.config import load_config
from rereader.models import providers
from rereader.models.base import Sampling
from rereader.models.endpoint import ChatEndpoint
from rereader.models.providers import PROVIDERS, call_options, endpoint_name, find_endpoint
from rereader.models.roles import RoleNames, bind
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.errors import InputError, MissingExtra

WITHOUT = RoleNames("extractive", "none", "none", "hashing")
URL = "http://127.0.0.1:8000/v1"
KEY = "sk-typed-by-mistake-123"


def test_our_providers_are_those_of_langchain() -> None:
    theirs = {name: module.partition(".")[0] for name, (module, _, _) in _BUILTIN_PROVIDERS.items()}
    assert {name: theirs.get(name) for name in PROVIDERS} == dict(PROVIDERS)


@pytest.mark.parametrize(
    ("model", "key", "name"),
    [
        ("openai:Qwen/Qwen3-4B", None, f"openai:Qwen/Qwen3-4B@{URL}"),
        ("Qwen/Qwen3-4B", None, f"openai:Qwen/Qwen3-4B@{URL}"),
        ("openai:user@model:7b", "MY_KEY", f"openai:user@model:7b@{URL}#MY_KEY"),
        ("ollama:llama3:8b", None, f"ollama:llama3:8b@{URL}"),
    ],
)
def test_one_name_holds_model_address_and_key_variable(model: str, key: str | None, name: str) -> None:
    assert endpoint_name(model, f"{URL}/", key) == name
    found = find_endpoint(name, {})
    assert found is not None
    assert (found.base_url, found.api_key_env) == (URL, key)
    assert found.model == (model if model.partition(":")[0] in PROVIDERS else f"openai:{model}")


@pytest.mark.parametrize("name", ["smollm2-135m", "extractive", "./folder", "C:/models/x.gguf", "org/model", "poet:x"])
def test_other_names_are_no_endpoints(name: str) -> None:
    assert find_endpoint(name, {}) is None


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        (f"http://user:{KEY}@host/v1", None),
        (f"http://host/v1?key={KEY}", None),
        ("ftp://host/v1", None),
        ("localhost:8000", None),
        (URL, KEY),
        (None, "MY_KEY"),
    ],
)
def test_a_malformed_address_or_variable_is_refused_without_showing_it(base_url: str | None, key: str | None) -> None:
    with pytest.raises(InputError) as caught:
        endpoint_name("openai:x", base_url, key)
    assert caught.value.exit_code == 2 and KEY not in str(caught.value)


def test_the_configuration_names_endpoints_and_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("REREADER_CONFIG", str(path))
    path.write_text(f'[endpoints.big]\nmodel = "openai:x"\nbase_url = "{URL}"\ntimeout = 9\nconcurrency = 2\n')
    settings = load_config().endpoints["big"]
    assert (settings.model_name, settings.provider, settings.timeout, settings.retries) == ("x", "openai", 9.0, 3)
    assert find_endpoint("big", load_config().endpoints) == settings
    path.write_text(f'[endpoints.big]\nmodel = "openai:x"\napi_key = "{KEY}"\n')
    with pytest.raises(InputError, match="environment variable") as caught:
        load_config()
    assert KEY not in str(caught.value) and "big" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "x"},
        {"timeout": 0},
        {"concurrency": 0},
        {"retries": -1},
        {"context_window": 1},
        {"base_url": "x"},
        {"a": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EndpointSettings.model_validate({"model": "openai:x", **wrong})


def test_roles_mix_and_share_an_endpoint_and_nothing_is_asked_yet(tmp_path: Path) -> None:
    endpoints = {"big": EndpointSettings(model="openai:x", base_url=URL)}
    models = bind(replace(WITHOUT, reader="big", gister="big"), tmp_path, endpoints=endpoints)
    try:
        assert models.describe()["reader"] == "big"
        assert isinstance(models.reader, ChatEndpoint) and models.reader is models.gister
        assert models.reader.name == "big"
    finally:
        models.close()
    named = bind(replace(WITHOUT, reader=f"openai:x@{URL}"), tmp_path)
    try:
        assert named.reader is not None and named.reader.name == "openai:x"
    finally:
        named.close()


def test_what_an_endpoint_cannot_do_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"openai:x@{URL}"
    with pytest.raises(InputError, match="cannot be the scorer: it lacks likelihood"):
        bind(replace(WITHOUT, scorer=name), tmp_path)
    with pytest.raises(InputError, match="cannot be the embedder"):
        bind(replace(WITHOUT, embedder=name), tmp_path)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(InputError, match="NO_SUCH_KEY, which should hold the key, is not set"):
        bind(replace(WITHOUT, reader=f"{name}#NO_SUCH_KEY"), tmp_path)
    with pytest.raises(InputError, match="pip install langchain-nvidia-ai-endpoints"):
        bind(replace(WITHOUT, reader="nvidia:x"), tmp_path)
    unknown = {"big": EndpointSettings(model="poet:x")}
    with pytest.raises(InputError, match="provider 'poet'"):
        bind(replace(WITHOUT, reader="big"), tmp_path, endpoints=unknown)
    monkeypatch.setattr(providers, "_installed", lambda package: False)
    with pytest.raises(MissingExtra, match=r"rereader\[endpoint\]"):
        bind(replace(WITHOUT, reader=name), tmp_path)


def test_a_hosted_model_without_its_key_says_which_setting_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="api_key_env"):
        ChatEndpoint.connect(EndpointSettings(model="openai:x"))


def test_each_package_is_asked_in_its_own_words() -> None:
    sampling = Sampling(max_new_tokens=9, stop=("a", "b", "c", "d", "e"), temperature=0.5, seed=3)
    ollama = call_options("langchain_ollama", sampling, 4096)["options"]
    assert (ollama["num_predict"], ollama["num_ctx"], len(ollama["stop"])) == (9, 4096, 5)
    openai = call_options("langchain_openai", sampling, 4096)
    assert (openai["max_tokens"], openai["seed"], len(openai["stop"])) == (9, 3, 4)
    assert "seed" not in call_options("langchain_anthropic", sampling, None)
    assert call_options("langchain_google_genai", sampling, None)["max_output_tokens"] == 9
