"""What a result depends on besides the settings: machine, packages, commit."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "rereader",
    "langgraph",
    "langchain-core",
    "faiss-cpu",
    "numpy",
    "tiktoken",
    "torch",
    "transformers",
    "sentence-transformers",
    "gguf",
)
UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""What a CPU may compute with; reading speeds differ by ten times between them."""
_CPU_FACTS = Path("/proc/cpuinfo")


def describe_environment() -> dict[str, Any]:
    """Platform, CPU count, Python, package versions, git commit with its dirty flag, date: JSON-plain."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "cpu_units": cpu_units(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        **describe_commit(Path(__file__).resolve().parent),
    }


def cpu_units() -> list[str] | None:
    """Those of ``UNITS`` that every core has; ``None`` where the system does not tell (only Linux does)."""
    try:
        told = _CPU_FACTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # x86 calls the line "flags", ARM "Features".
    cores = [
        set(line.partition(":")[2].split()) for line in told.splitlines() if line.startswith(("flags", "Features"))
    ]
    return [unit for unit in UNITS if cores and all(unit in core for core in cores)]


def describe_commit(folder: Path) -> dict[str, Any]:
    """The commit of the checkout that the code runs from; both values ``None`` when it runs from no checkout.

    ``dirty`` tells of uncommitted changes outside docs/results, which a measurement itself changes.
    """
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None or _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"commit": None, "dirty": None}
    changes = _git(Path(root), "status", "--porcelain", "--", ".", ":(exclude)docs/results")
    return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": bool(changes)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
