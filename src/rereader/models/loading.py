"""Loads a model folder; measures first which precision suits the machine. Nothing is downloaded."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from rereader.models.casting import check_whole, load_cast
from rereader.models.identity import hash_files
from rereader.models.measure import Settings, load_settings, measure, measure_loaded, store_settings
from rereader.models.quantised import QUANTISED, Bits, identify, is_quantised, load_quantised, require_quantised
from rereader.schema.errors import InputError, ModelError, RereaderError

DTYPES = ("float32", "bfloat16", "float16")
CPU_BATCHES = (1, 4, 16)
CUDA_BATCHES = (1, 8, 32, 64)
_OPTIONS: dict[str, Any] = {
    "attn_implementation": "sdpa",
    "local_files_only": True,
    "trust_remote_code": False,
    "use_safetensors": True,
}
_SAFE_SHARE = 0.5
"""Share of the available memory that weights may take."""


@dataclass(frozen=True)
class Parts:
    """What a folder holds, loaded."""

    model: Any
    decode_model: Any
    tokenizer: Any
    settings: Settings
    weights_sha256: str


def load_parts(
    path: Path, device: str, dtype: str, threads: int | None, settings_cache: Path | None, weights_sha256: str
) -> Parts:
    """Load a folder in the fastest precision (``auto``) or the given one.

    Raises:
        InputError: If device or dtype is unknown.
        MissingExtra: If the weights are to be quantised and the packages for that are not installed.
        ModelError: If the folder is incomplete, unreadable or needs code of its own.
    """
    if dtype not in ("auto", *DTYPES, *QUANTISED):
        raise InputError(f"Unknown precision {dtype!r}.", f"Use auto, {', '.join((*DTYPES, *QUANTISED))}.")
    if is_quantised(dtype):
        require_quantised()
    place = _device(device)
    weights = _weight_files(path)
    sha256 = weights_sha256 or hash_files(weights)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with _no_progress_bars():
            return _load_parts(path, place, dtype, settings_cache, weights, sha256)
    except RereaderError:
        raise
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "Check that the folder holds a complete model that needs no code of its own, and that memory suffices."
        raise ModelError(f"The model in {path} cannot be loaded: {text}", hint) from error


def _load_parts(path: Path, device: str, dtype: str, cache: Path | None, weights: Sequence[Path], sha256: str) -> Parts:
    config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if is_quantised(dtype):
        return _load_quantised(path, tokenizer, device, dtype, cache, sha256)
    settings = _settings(config, device, dtype, sha256, cache, weights)
    model = _load(path, config, settings.prefill_dtype, device, weights)
    same = settings.decode_dtype == settings.prefill_dtype
    decode_model = model if same else _load(path, config, settings.decode_dtype, device, weights)
    return Parts(model, decode_model, tokenizer, settings, sha256)


def _load_quantised(path: Path, tokenizer: Any, device: str, bits: Bits, cache: Path | None, sha256: str) -> Parts:
    model = load_quantised(path, bits, _half(device), device, **_OPTIONS).eval()
    key = settings_key(f"{sha256}+{bits}", device, bits)
    settings = load_settings(cache, key) if cache is not None else None
    if settings is None:
        settings = measure_loaded(model, bits, batches=_batches(device))
        if cache is not None:
            store_settings(cache, key, settings)
    return Parts(model, model, tokenizer, settings, identify(sha256, bits))


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Our own progress is shown on standard error, and nothing else."""
    switch: Any = logging
    shown = switch.is_progress_bar_enabled()
    switch.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            switch.enable_progress_bar()


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(f"Unknown device {device!r}.", "Use auto, cpu or cuda.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device that torch can use.", "Use --device cpu.")
    return device


def _weight_files(path: Path) -> list[Path]:
    if not (path / "config.json").is_file():
        raise ModelError(f"There is no model in {path}.", "Name a folder that holds a config.json.")
    found = sorted(path.glob("*.safetensors"))
    if not found:
        msg = f"The folder {path} holds no safetensors weights."
        raise ModelError(msg, "Convert the model, or pull it again.")
    return found


def _load(path: Path, config: Any, dtype: str, device: str, weights: Sequence[Path]) -> Any:
    wanted = getattr(torch, dtype)
    if wanted == _stored_dtype(config):
        auto: Any = AutoModelForCausalLM
        model, info = auto.from_pretrained(path, dtype=wanted, output_loading_info=True, **_OPTIONS)
        check_whole(path, info)
    else:
        model = load_cast(path, config, wanted, weights, **_OPTIONS)
    return model.to(device).eval()


def _stored_dtype(config: Any) -> torch.dtype:
    stored: torch.dtype = getattr(config, "dtype", None) or torch.float32
    return stored


def _settings(
    config: Any, device: str, dtype: str, sha256: str, cache: Path | None, weights: Sequence[Path]
) -> Settings:
    key = settings_key(sha256, device, dtype)
    known = load_settings(cache, key) if cache is not None else None
    if known is not None:
        return known
    dtypes, two_copies = _affordable(config, device, dtype, weights)
    settings = measure(config, device, dtypes, two_copies=two_copies, batches=_batches(device))
    if cache is not None:
        store_settings(cache, key, settings)
    return settings


def settings_key(weights: str, device: str, dtype: str, threads: int | None = None) -> str:
    """What measured settings hold for: weights (sha256), device, precision that was asked for, machine, threads."""
    count = torch.get_num_threads() if threads is None else threads
    machine = (platform.machine(), torch.backends.cpu.get_cpu_capability(), str(count))
    return "/".join((weights, device, dtype, *machine, torch.__version__))


def _batches(device: str) -> Sequence[int]:
    return CUDA_BATCHES if device.startswith("cuda") else CPU_BATCHES


def _half(device: str) -> torch.dtype:
    """The precision that goes with quantised weights: half where the device computes in it."""
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _affordable(config: Any, device: str, dtype: str, weights: Sequence[Path]) -> tuple[tuple[str, ...], bool]:
    """Precisions whose weights fit into memory, and whether two copies would."""
    if dtype != "auto":
        return (dtype,), False
    if device.startswith("cuda"):
        return (str(_half(device)).removeprefix("torch."),), False
    parameters = sum(file.stat().st_size for file in weights) // _stored_dtype(config).itemsize
    room = available_bytes() * _SAFE_SHARE
    dtypes = ("bfloat16", "float32") if parameters * 4 <= room else ("bfloat16",)
    return dtypes, parameters * 6 <= room


def available_bytes() -> int:
    """Bytes of memory that can be had without swapping."""
    try:
        import psutil  # type: ignore[import-untyped, unused-ignore]
    except ImportError:  # a bare GPU machine
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return int(psutil.virtual_memory().available)
