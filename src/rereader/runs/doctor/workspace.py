"""The workspace: what must hold in it, looked at without changing it."""

from __future__ import annotations

from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.runs.doctor.scope import Scope
from rereader.schema import StoreError
from rereader.schema.findings import Finding


def workspace(scope: Scope) -> list[Finding]:
    """All checks of the store; a workspace that is not there yet is not made."""
    folder = scope.config.workspace
    if not (folder / "library.db").is_file():
        return [Finding(f"no workspace at {folder} yet", "note", "It is made by: rereader add FILE")]
    try:
        with Library(folder) as library:
            return check_library(library)
    except StoreError as error:
        return [Finding(error.message, "problem", error.hint)]
