"""The pulled models: whole, unchanged, and enough for every role."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from rereader.models.files import hash_file
from rereader.models.installed import installed
from rereader.models.manifest import MANIFEST, Manifest, is_whole, read_manifest, verify
from rereader.runs.choosing import choose_names
from rereader.runs.doctor.scope import Scope
from rereader.schema import RereaderError
from rereader.schema.findings import Finding

_SMALL = 1 << 20
"""Files up to so many bytes are hashed even in a quick examination."""
_OLD_SECONDS = 3600.0


def roles(scope: Scope) -> list[Finding]:
    """Which model fills which role, and which ones stand in for better ones."""
    try:
        names, warnings = choose_names(scope.config)
    except RereaderError as error:
        return [Finding(error.message, "problem", error.hint)]
    chosen = ", ".join(f"{role} {name}" for role, name in vars(names).items())
    found = [Finding(f"roles: {chosen}")]
    for text in warnings:
        what, _, mend = text.partition(". Run: ")
        found.append(Finding(what, "note", f"Run: {mend}" if mend else ""))
    return found


def model_files(scope: Scope) -> list[Finding]:
    """Every pulled folder has its files; checksums of the large ones are checked when speeds are measured."""
    folders = [path.parent for path in sorted(scope.config.models_dir.glob(f"*/{MANIFEST}"))]
    if not folders:
        return [Finding(f"no model in {scope.config.models_dir}", "note", "Run: rereader models pull")]
    return [_examine(scope, folder) for folder in folders if not folder.name.startswith(".")]


def _examine(scope: Scope, folder: Path) -> Finding:
    manifest = read_manifest(folder)
    pull = f"Run: rereader models pull {shlex.quote(folder.name)}"
    if manifest is None or not is_whole(folder, manifest):
        return Finding(f"the model {folder.name} is incomplete", "problem", f"Remove {folder}. {pull}")
    size = sum(record.size for record in manifest.files.values()) / 1e6
    if scope.measure:
        scope.tell(f"checksums of {manifest.name}")
        try:
            verify(folder)
        except RereaderError as error:
            return Finding(error.message, "problem", error.hint)
        return Finding(f"{manifest.name}, {size:,.0f} MB, every checksum right")
    changed = _changed(folder, manifest)
    if changed:
        return Finding(f"{manifest.name}: {changed} was changed", "problem", f"Remove {folder}. {pull}")
    return Finding(f"{manifest.name}, {size:,.0f} MB, sizes right (checksums of large files: --measure)")


def _changed(folder: Path, manifest: Manifest) -> str:
    """The first small file that is not what was pulled."""
    for name, record in manifest.files.items():
        if record.size <= _SMALL and hash_file(folder / name) != record.sha256:
            return name
    return ""


def leftovers(scope: Scope) -> list[Finding]:
    """Folders that a killed pull left behind."""
    now = time.time()
    found = [path for path in scope.config.models_dir.glob(".*.tmp-*") if now - path.stat().st_mtime > _OLD_SECONDS]
    return [
        Finding(
            f"{path.name} was left by a pull that was killed", "note", "Pull the model again, or delete the folder."
        )
        for path in found
    ]


def reader_fits(scope: Scope) -> list[Finding]:
    """The reader's weights fit into memory."""
    import psutil

    here = {model.name: model for model in installed(scope.config.models_dir)}
    try:
        reader = choose_names(scope.config)[0].reader
    except RereaderError:
        return []  # said by the roles
    if reader not in here:
        return []
    weights = sum(path.stat().st_size for path in here[reader].path.glob("*.safetensors"))
    available = psutil.virtual_memory().available
    if 2 * weights <= available:  # stored in two bytes, computed in four
        return []
    what = f"{reader} needs about {2 * weights / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are available"
    return [Finding(what, "warning", "Choose a smaller reader: --model smollm2-135m")]
