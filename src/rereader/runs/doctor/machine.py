"""The machine: torch and its device, what the processor can do, memory and disk."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import psutil

from rereader.runs.doctor.scope import Scope
from rereader.schema.findings import Finding

_FEATURES = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 bf16", "amx_bf16": "AMX bf16"}
_LITTLE_MEMORY = 3e9
_LITTLE_DISK = 2e9
_NO_DISK = 2e8


def torch_build(scope: Scope) -> list[Finding]:
    """Which torch is installed and which device it sees; a build for the CPU is not loaded to ask."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        mend = "Run: pip install 'rereader[local]'"
        return [Finding("torch is not installed: no local models, only endpoints and quotes", "note", mend)]
    if version.endswith("+cpu"):
        return [Finding(f"torch {version}, built for the CPU")]
    return _cuda(version)


def _cuda(version: str) -> list[Finding]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return [Finding(f"torch {version} on {name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")]
    if torch.version.cuda and shutil.which("nvidia-smi"):
        mend = "Install the torch build that fits the driver, or leave the device at cpu."
        return [Finding(f"torch {version} sees no GPU though the machine has a driver", "warning", mend)]
    return [Finding(f"torch {version} on the CPU")]


def processor(scope: Scope) -> list[Finding]:
    """Cores, and the instructions that decide how fast a CPU reads."""
    physical, logical = psutil.cpu_count(logical=False), os.cpu_count()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    flags = _flags()
    features = ", ".join(name for flag, name in _FEATURES.items() if flag in flags) or "no AVX2"
    what = f"{platform.machine()}, {physical} cores ({usable} of {logical} threads usable), {features}"
    if flags and "avx2" not in flags and platform.machine() in ("x86_64", "AMD64"):
        return [Finding(what, "warning", "Local models will be slow here; name an endpoint with --model.")]
    return [Finding(what)]


def _flags() -> set[str]:
    """Processor features as Linux names them; empty where they cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return set(line.partition(":")[2].split())


def memory(scope: Scope) -> list[Finding]:
    """Main memory that can be had."""
    found = psutil.virtual_memory()
    what = f"{found.available / 1e9:.1f} of {found.total / 1e9:.1f} GB of memory available"
    if found.available < _LITTLE_MEMORY:
        return [Finding(what, "warning", "Close programs, or choose a smaller reader: --model smollm2-135m")]
    return [Finding(what)]


def disk(scope: Scope) -> list[Finding]:
    """Room in the workspace and in the folder of models."""
    found = []
    for name, folder in (("workspace", scope.config.workspace), ("models folder", scope.config.models_dir)):
        free = shutil.disk_usage(_existing(folder)).free
        what = f"{free / 1e9:,.1f} GB free for the {name} {folder}"
        mend = f"Free some space, or choose another {name}; see 'rereader config show'."
        if free < _LITTLE_DISK:
            found.append(Finding(what, "problem" if free < _NO_DISK else "warning", mend))
        else:
            found.append(Finding(what))
        if folder.exists() and not os.access(folder, os.W_OK):
            found.append(Finding(f"the {name} {folder} cannot be written", "problem", "Mend its permissions."))
    return found


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir()), Path.cwd())
