"""Which model does what: the reader, the gister, the scorer and the embedder are bound separately."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

from rereader.models.base import Capabilities, Embedder, Head, LanguageModel, TextKind
from rereader.models.catalogue import CatalogueEntry, load_catalogue
from rereader.models.gguf_parts import find_gguf
from rereader.models.headlist import known_heads
from rereader.models.installed import installed, locate, own_gguf, own_path
from rereader.models.loaders import Loader, LoadListener, Once, hashing, nothing, unheard
from rereader.models.manifest import read_manifest
from rereader.models.providers import check_endpoint, find_endpoint
from rereader.models.quantised import is_quantised
from rereader.models.runtimes import choose_runtime, marked
from rereader.schema.endpoint import EndpointSettings
from rereader.schema.errors import InputError
from rereader.schema.types import Runtime

EXTRACTIVE = "extractive"
NONE = "none"
HASHING = "hashing"

_WITHOUT = {"reader": EXTRACTIVE, "gister": NONE, "scorer": NONE}
_NEEDS = {"reader": ("generate",), "gister": ("generate",), "scorer": ("choose", "likelihood")}
_READERS = ("qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m")


@dataclass(frozen=True)
class RoleNames:
    """The model of each role: a catalogue name, a path, an endpoint, or a special name.

    Special names do without a model: ``extractive`` for the reader (answers are made of quotes), ``none`` for gister
    and scorer, ``hashing`` for the embedder.
    """

    reader: str = "qwen2.5-coder-1.5b"
    gister: str = "smollm2-135m"
    scorer: str = "smollm2-135m"
    embedder: str = "minilm"


class Models:
    """The models of a run. Built from instances here, or by :func:`bind` from names, loaded at their first use.

    Args:
        reader: Reasons and answers; ``None`` makes answers of quotes only.
        gister: Writes compressed memories, or ``None``.
        scorer: Gates and scores, or ``None``.
        embedder: Makes vectors; by default the one that needs no model.

    Raises:
        InputError: If a model cannot do what its role needs.
    """

    def __init__(
        self,
        reader: LanguageModel | None = None,
        gister: LanguageModel | None = None,
        scorer: LanguageModel | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        given = {"reader": reader, "gister": gister, "scorer": scorer}
        for role, model in given.items():
            if model is not None:
                _check_capabilities(role, model.name, model.capabilities)
        vectors = embedder if embedder is not None else hashing()
        self._names = {role: model.name if model else _WITHOUT[role] for role, model in given.items()}
        self._names["embedder"] = vectors.name
        self._loaders: dict[str, Loader] = {}
        self._loaded: dict[str, LanguageModel | Embedder | None] = {**given, "embedder": vectors}
        self.loads: list[tuple[str, float, float]] = []
        """Models loaded so far: name, when it began (``time.monotonic``), seconds; a shared one takes none again."""
        self.heard: LoadListener = unheard
        """Is told a model's name before it is loaded, and again when it is there."""
        self._lock = threading.RLock()
        self._device = "cuda" if any(model and model.device.startswith("cuda") for model in given.values()) else "cpu"

    @classmethod
    def lazy(cls, names: Mapping[str, str], loaders: Mapping[str, Loader], device: str = "cpu") -> Self:
        """Models that are loaded at their first use.

        Args:
            names: Role -> name, for :meth:`describe`.
            loaders: Role -> a function that loads its model.
            device: The torch device that they will be loaded on, or ``auto``.
        """
        models = cls()
        models._device = device
        models._names = dict(names)
        models._loaders = dict(loaders)
        models._loaded = {}
        return models

    @property
    def reader(self) -> LanguageModel | None:
        """The model that reasons and answers."""
        return cast("LanguageModel | None", self._get("reader"))

    @property
    def gister(self) -> LanguageModel | None:
        """The model that compresses chunks."""
        return cast("LanguageModel | None", self._get("gister"))

    @property
    def scorer(self) -> LanguageModel | None:
        """The model that gates and scores."""
        return cast("LanguageModel | None", self._get("scorer"))

    @property
    def embedder(self) -> Embedder:
        """The model that makes vectors."""
        return cast("Embedder", self._get("embedder"))

    @property
    def waited(self) -> float:
        """Seconds that calls of the loaded language models have waited so far; see :attr:`LanguageModel.waited`."""
        return sum(model.waited for model in self._language_models())

    @property
    def loading(self) -> dict[str, float]:
        """Seconds that calls have spent so far on loading weights, by model; see :attr:`LanguageModel.loading`."""
        return {model.name: model.loading for model in self._language_models()}

    @property
    def on_cuda(self) -> bool:
        """Whether language models run on a CUDA device; loads none of them, and no torch if there are none."""
        if all(self._names[role] == without for role, without in _WITHOUT.items()):
            return False
        if self._device != "auto":
            return self._device.startswith("cuda")
        try:
            import torch
        except ImportError:
            return False
        return torch.cuda.is_available()

    @property
    def uses_cuda(self) -> bool:
        """Like :attr:`on_cuda`, but an ``auto`` device counts as a CPU until torch was imported by someone."""
        return self.on_cuda if self._device != "auto" or "torch" in sys.modules else False

    def is_loaded(self, role: str) -> bool:
        """Whether the model of a role is in memory."""
        return role in self._loaded

    def describe(self) -> dict[str, str]:
        """Role -> name of its model; loads nothing."""
        return dict(self._names)

    def close(self) -> None:
        """Release every loaded language model; the object must not be used afterwards."""
        with self._lock:
            unique = {id(model): model for model in self._loaded.values()}
            self._loaded.clear()
        for model in unique.values():
            if isinstance(model, LanguageModel):
                model.close()

    def _language_models(self) -> list[LanguageModel]:
        """Those that are in memory, each once."""
        unique = {id(model): model for model in list(self._loaded.values())}
        return [model for model in unique.values() if isinstance(model, LanguageModel)]

    def _get(self, role: str) -> LanguageModel | Embedder | None:
        with self._lock:
            if role not in self._loaded:
                load, name = self._loaders[role], self._names[role]
                takes_time = name not in (EXTRACTIVE, NONE, HASHING) and not getattr(load, "is_done", False)
                if takes_time:
                    self.heard(name, False)
                started = time.monotonic()
                model = load()
                if isinstance(model, LanguageModel | Embedder):
                    self.loads.append((model.name, started, time.monotonic() - started))
                if takes_time:
                    self.heard(name, True)
                if isinstance(model, LanguageModel):
                    _check_capabilities(role, model.name, model.capabilities)
                self._loaded[role] = model
            return self._loaded[role]


def bind(
    names: RoleNames,
    models_dir: Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    endpoints: Mapping[str, EndpointSettings] | None = None,
    runtime: Runtime = "auto",
) -> Models:
    """Find every role's model now and load each at its first use; roles that name one model share it.

    Args:
        names: The model of each role.
        models_dir: Where pulled models lie.
        device: A torch device, or ``auto``.
        threads: Threads of torch and llama.cpp; ``None`` leaves the choice to them.
        endpoints: Model servers by name; ``PROVIDER:MODEL[@URL[#KEY_VARIABLE]]`` needs no entry.
        runtime: What runs reader and gister; ``auto`` is llama.cpp for a reader on a CPU where it is installed and
            the reader has a GGUF file, and its name says so. ``8bit`` and ``4bit`` quantise the scorer too. A mark in a
            name goes before.

    Raises:
        InputError: If a model is unknown, not pulled, of the wrong kind for its role, or not for ``runtime``.
        ModelError: If a pulled folder is incomplete or a GGUF file cannot be converted.
    """
    shared: dict[str, Loader] = {}
    loaders: dict[str, Loader] = {}
    shown = asdict(names)
    for role, name in asdict(names).items():
        if name == _WITHOUT.get(role):
            loaders[role] = nothing
        elif role == "embedder" and name == HASHING:
            loaders[role] = hashing
        elif (served := find_endpoint(name, endpoints or {})) is not None:
            _check_endpoint(role, name, served)
            loaders[role] = shared.setdefault(f"endpoint {name}", Once(partial(_endpoint, served, name, models_dir)))
        else:
            key, shown[role], load = _local(role, name, models_dir, device, threads, runtime)
            loaders[role] = shared.setdefault(key, Once(load))
    return Models.lazy(shown, loaders, device)


def bind_scorer(name: str, models_dir: Path, *, device: str = "auto", threads: int | None = None) -> Models:
    """A scorer beside the usual embedder, and no other model."""
    embedder = default_names(models_dir)[0].embedder
    return bind(RoleNames(EXTRACTIVE, NONE, name, embedder), models_dir, device=device, threads=threads)


def _local(
    role: str, name: str, models_dir: Path, device: str, threads: int | None, runtime: Runtime
) -> tuple[str, str, Callable[[], LanguageModel | Embedder]]:
    """What roles share a model by, the name to show, and a function that loads it."""
    own = own_gguf(name)
    folder = locate(name, models_dir, weights=False)
    chosen = choose_runtime(role, name, own or find_gguf(folder), runtime, device)
    if chosen == "llamacpp":
        _check_kind(role, name, folder)
        plain = own.name if own else _display_name(name, folder)
        return f"llama.cpp {own or folder}", marked(name, chosen), partial(_llamacpp, folder, plain, own, threads)
    if own is not None:
        folder = locate(name, models_dir)
    _check_kind(role, name, folder)
    plain = _display_name(name, folder)
    load: Callable[[], LanguageModel | Embedder] = partial(_embedder, folder, plain, device, threads)
    if role != "embedder":
        dtype = chosen if is_quantised(chosen) else "auto"
        heads = partial(_heads, name, models_dir)
        how = {"device": device, "dtype": dtype, "threads": threads, "settings_cache": _settings_cache(models_dir)}
        load = partial(_language_model, folder, marked(plain, chosen), heads, how)
    return marked(str(folder.resolve()), chosen), marked(name, chosen), load


def default_names(models_dir: Path) -> tuple[RoleNames, list[str]]:
    """The best installed model of each role, and one warning for each that is not the default.

    Readers fall back from 1.5B over 0.5B and 135M to ``extractive``; gister and scorer to ``none``; the embedder to
    ``hashing``.
    """
    here = {model.name for model in installed(models_dir)}
    wanted = RoleNames()
    warnings: list[str] = []

    def first(role: str, choices: tuple[str, ...], without: str) -> str:
        chosen = next((name for name in choices if name in here), without)
        if chosen != choices[0]:
            warnings.append(
                f"The {role} is '{chosen}', because {choices[0]} is not installed. "
                f"Run: rereader models pull {choices[0]}"
            )
        return chosen

    names = RoleNames(
        reader=first("reader", _READERS, EXTRACTIVE),
        gister=first("gister", (wanted.gister,), NONE),
        scorer=first("scorer", (wanted.scorer,), NONE),
        embedder=first("embedder", (wanted.embedder,), HASHING),
    )
    return names, warnings


def _embedder(folder: Path, name: str, device: str, threads: int | None) -> Embedder:
    from rereader.models.embedder import SentenceEmbedder

    entry = next((entry for entry in _fitting("embed") if entry.name == name), None)
    prefixes: dict[TextKind, str] = {}
    if entry is not None:
        prefixes = {"query": entry.query_prefix, "passage": entry.passage_prefix}
    return SentenceEmbedder.load(
        folder,
        name=name,
        device=device,
        threads=threads,
        weights_sha256=_digest(folder),
        languages=entry.languages if entry else ("*",),
        prefixes={kind: prefix for kind, prefix in prefixes.items() if prefix},
    )


def _language_model(
    folder: Path, name: str, heads: Callable[[], Sequence[Head]], how: Mapping[str, Any]
) -> LanguageModel:
    from rereader.models.local import LocalModel

    return LocalModel.load(folder, name=name, weights_sha256=_digest(folder), find_heads=heads, **how)


def _heads(name: str, models_dir: Path) -> list[Head]:
    known = known_heads(name, models_dir)
    return known[0] if known else []


def _llamacpp(folder: Path, name: str, file: Path | None, threads: int | None) -> LanguageModel:
    from rereader.models.llamacpp import LlamaCppModel

    return LlamaCppModel.load(folder, name=marked(name, "llamacpp"), file=file, threads=threads)


def _endpoint(settings: EndpointSettings, name: str, models_dir: Path) -> LanguageModel:
    from rereader.models.endpoint import ChatEndpoint
    from rereader.models.tokens import folder_counter

    counter = folder_counter(locate(settings.tokenizer, models_dir)) if settings.tokenizer else None
    return ChatEndpoint.connect(settings, name=name.partition("@")[0], counter=counter)


def _check_endpoint(role: str, name: str, settings: EndpointSettings) -> None:
    if role == "embedder":
        msg = f"The endpoint {name} cannot be the embedder: it writes text."
        raise InputError(msg, "Choose a local model with --role embedder=NAME.")
    check_endpoint(settings, name)
    _check_capabilities(role, name, Capabilities(choose=settings.choose is not False, likelihood=False))


def _settings_cache(models_dir: Path) -> Path | None:
    """Where measured settings are kept between runs; nowhere if the models folder cannot be written or made."""
    there = next(folder for folder in (models_dir, *models_dir.absolute().parents) if folder.exists())
    return models_dir / ".settings.json" if os.access(there, os.W_OK) else None


def _digest(folder: Path) -> str:
    manifest = read_manifest(folder)
    return manifest.digest if manifest is not None else ""


def _display_name(name: str, folder: Path) -> str:
    """The catalogue name where there is one, the folder's own otherwise."""
    manifest = read_manifest(folder)
    return manifest.name if manifest is not None else own_path(name).resolve().name


def _check_kind(role: str, name: str, folder: Path) -> None:
    kind = _kind(folder)
    needed = "embed" if role == "embedder" else "generate"
    if kind != needed:
        fitting = [entry.name for entry in _fitting(needed)]
        msg = f"The model {name} cannot be the {role}: it is of kind '{kind}', not '{needed}'."
        raise InputError(msg, f"Choose one of {', '.join(fitting)}.")


def _kind(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest.kind
    return "embed" if (folder / "modules.json").is_file() else "generate"


def _fitting(kind: str) -> list[CatalogueEntry]:
    return [entry for entry in load_catalogue().entry if entry.kind == kind]


def _check_capabilities(role: str, name: str, capabilities: Capabilities) -> None:
    lacking = [need for need in _NEEDS.get(role, ()) if not getattr(capabilities, need)]
    if lacking:
        msg = f"The model {name} cannot be the {role}: it lacks {', '.join(lacking)}."
        raise InputError(msg, f"Choose a local model with --role {role}=NAME.")
