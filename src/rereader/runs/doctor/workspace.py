"""The workspace: what must hold in it, looked at without changing it."""

from __future__ import annotations

from rereader.memory.invariants import check_library, stored_version
from rereader.memory.library import Library
from rereader.memory.migrations import MIGRATIONS
from rereader.runs.doctor.scope import Scope
from rereader.schema import StoreError
from rereader.schema.findings import Finding


def workspace(scope: Scope) -> list[Finding]:
    """All checks of the store; a workspace that is not there yet is not made."""
    folder = scope.config.workspace
    if not (folder / "library.db").is_file():
        return [Finding(f"no workspace at {folder} yet", "note", "It is made by: rereader add FILE")]
    try:
        version, newest = stored_version(folder), len(MIGRATIONS)
        if version < newest:
            told = f"the workspace has schema version {version}; the next command upgrades it to {newest}"
            return [Finding(told, "note", "Run: rereader documents, then rereader doctor again.")]
        with Library(folder, scope.config.kv_bytes) as library:
            return check_library(library)
    except StoreError as error:
        return [Finding(error.message, "problem", error.hint)]
