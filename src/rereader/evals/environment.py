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


def describe_environment() -> dict[str, Any]:
    """Platform, CPU count, Python, package versions, git commit with its dirty flag, date: JSON-plain."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        **describe_commit(Path(__file__).resolve().parent),
    }


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
