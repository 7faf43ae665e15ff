from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rereader.models import roles
from rereader.models.base import Capabilities, LanguageModel
from rereader.models.hashing import HashingEmbedder
from rereader.models.manifest import write_manifest
from rereader.models.roles import Models, RoleNames, bind, default_names
from rereader.models.scripted import ScriptedModel
from rereader.schema.errors import InputError, ModelError

WITHOUT = RoleNames("extractive", "none", "none", "hashing")


def install(models_dir: Path, name: str, kind: str = "generate") -> Path:
    folder = models_dir / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write_manifest(folder, name=name, kind=kind, source="0" * 64)
    return folder


class Closing(ScriptedModel):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the loading of language models; holds the names loaded so far."""
    names: list[str] = []

    def load(folder: Path, name: str, heads: object, how: dict[str, Any]) -> LanguageModel:
        assert how["dtype"] == "auto"
        names.append(name)
        assert how["settings_cache"] is None or not how["settings_cache"].exists()
        return Closing(lambda prompt: prompt, name=name)

    monkeypatch.setattr(roles, "_language_model", load)
    return names


def test_without_any_model(tmp_path: Path) -> None:
    models = bind(WITHOUT, tmp_path)
    assert models.reader is models.gister is models.scorer is None
    assert isinstance(models.embedder, HashingEmbedder) and models.embedder is models.embedder
    assert models.describe() == {"reader": "extractive", "gister": "none", "scorer": "none", "embedder": "hashing"}
    models.close()


def test_models_are_loaded_at_first_use_and_shared(tmp_path: Path, loads: list[str]) -> None:
    install(tmp_path, "smollm2-135m")
    install(tmp_path, "qwen2.5-coder-0.5b")
    models = bind(RoleNames("small", "smollm2-135m", "tiny", "hashing"), tmp_path)
    assert models.describe()["reader"] == "small" and loads == []
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: (models.gister, models.scorer), range(16)))
    assert loads == ["smollm2-135m"]
    assert len({id(model) for pair in got for model in pair}) == 1
    reader, gister = models.reader, models.gister
    assert loads == ["smollm2-135m", "qwen2.5-coder-0.5b"]
    models.close()
    assert isinstance(reader, Closing) and isinstance(gister, Closing)
    assert reader.closed == gister.closed == 1


def test_names_are_checked_before_anything_is_loaded(tmp_path: Path, loads: list[str]) -> None:
    install(tmp_path, "smollm2-135m")
    install(tmp_path, "minilm", kind="embed")
    install(tmp_path, "bible", kind="document")
    with pytest.raises(InputError, match="rereader models pull qwen"):
        bind(RoleNames(), tmp_path)
    with pytest.raises(InputError, match="no model named"):
        bind(replace(WITHOUT, reader="gpt-99"), tmp_path)
    for role, name in (("reader", "minilm"), ("reader", "bible"), ("embedder", "tiny"), ("embedder", "bible")):
        with pytest.raises(InputError, match=f"{name} cannot be the {role}"):
            bind(replace(WITHOUT, **{role: name}), tmp_path)
    with pytest.raises(InputError):
        bind(replace(WITHOUT, reader="none"), tmp_path)
    (tmp_path / "smollm2-135m" / "config.json").unlink()
    with pytest.raises(ModelError, match="incomplete"):
        bind(replace(WITHOUT, scorer="tiny"), tmp_path)
    assert loads == []


def test_a_folder_of_the_user_s_own_needs_no_manifest(tmp_path: Path, loads: list[str]) -> None:
    own = tmp_path / "own" / "my-model"
    own.mkdir(parents=True)
    (own / "config.json").write_text("{}")
    models = bind(replace(WITHOUT, reader=str(own), scorer=f"{own}/."), tmp_path)
    assert models.reader is models.scorer is not None
    assert loads == ["my-model"]
    (own / "modules.json").write_text("[]")
    with pytest.raises(InputError, match="kind 'embed'"):
        bind(replace(WITHOUT, reader=str(own)), tmp_path)


def test_instances_are_taken_as_they_are_and_checked() -> None:
    reader, scorer = ScriptedModel(["x"], name="r"), ScriptedModel([], name="s")
    models = Models(reader=reader, scorer=scorer)
    assert models.reader is reader and models.scorer is scorer and models.gister is None
    assert models.describe() == {"reader": "r", "gister": "none", "scorer": "s", "embedder": "hashing"}
    scorer.capabilities = Capabilities(likelihood=False)
    with pytest.raises(InputError, match="model s cannot be the scorer: it lacks likelihood"):
        Models(scorer=scorer)
    assert Models(reader=scorer).reader is scorer


def test_capabilities_of_a_loaded_model_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = ScriptedModel([], name="weak")
    weak.capabilities = Capabilities(choose=False)
    monkeypatch.setattr(roles, "_language_model", lambda *_: weak)
    install(tmp_path, "smollm2-135m")
    models = bind(replace(WITHOUT, scorer="tiny"), tmp_path)
    with pytest.raises(InputError, match="lacks choose"):
        models.scorer  # noqa: B018


def test_a_load_that_fails_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "smollm2-135m")
    tries = threading.Semaphore(1)

    def load(*_: object) -> LanguageModel:
        if tries.acquire(blocking=False):
            raise ModelError("no memory")
        return ScriptedModel([])

    monkeypatch.setattr(roles, "_language_model", load)
    models = bind(replace(WITHOUT, reader="tiny"), tmp_path)
    with pytest.raises(ModelError):
        models.reader  # noqa: B018
    assert models.reader is not None


@pytest.mark.parametrize(
    ("present", "reader"),
    [
        ((), "extractive"),
        (("smollm2-135m",), "smollm2-135m"),
        (("smollm2-135m", "qwen2.5-coder-0.5b"), "qwen2.5-coder-0.5b"),
        (("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "smollm2-135m", "minilm"), "qwen2.5-coder-1.5b"),
    ],
)
def test_defaults_fall_back_and_say_so(tmp_path: Path, present: tuple[str, ...], reader: str) -> None:
    for name in present:
        install(tmp_path, name, kind="embed" if name == "minilm" else "generate")
    names, warnings = default_names(tmp_path)
    assert names.reader == reader
    assert names.scorer == names.gister == ("smollm2-135m" if "smollm2-135m" in present else "none")
    assert names.embedder == ("minilm" if "minilm" in present else "hashing")
    wanted = RoleNames()
    lacking = [
        role for role in ("reader", "gister", "scorer", "embedder") if getattr(names, role) != getattr(wanted, role)
    ]
    assert len(warnings) == len(lacking)
    for role, warning in zip(lacking, warnings, strict=True):
        assert getattr(names, role) in warning and f"rereader models pull {getattr(wanted, role)}" in warning
    assert isinstance(bind(names, tmp_path), Models)
