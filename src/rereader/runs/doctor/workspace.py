"""The workspace: what must hold in it, looked at without changing it, and mended when that is asked for."""

from __future__ import annotations

from functools import partial

from rereader.memory.care.contents import content_checks
from rereader.memory.care.damage import found_by
from rereader.memory.care.depth import Depth
from rereader.memory.care.hints import after_repair
from rereader.memory.care.repairs import MENDS, repair
from rereader.memory.invariants import library_checks, stored_version
from rereader.memory.library import Library, check_place
from rereader.memory.locks import caring
from rereader.memory.migrations import MIGRATIONS
from rereader.runs.doctor.checkpoints import checkpoints_open, drop_broken
from rereader.runs.doctor.scope import Scope
from rereader.schema import StoreError
from rereader.schema.findings import Finding


def workspace(scope: Scope) -> list[Finding]:
    """All checks of the store; a workspace that is not there yet is not made."""
    folder = scope.config.workspace
    check_place(folder)
    if not (folder / "library.db").is_file():
        return [Finding(f"no workspace at {folder} yet", "note", "It is made by: rereader add FILE")]
    try:
        version, newest = stored_version(folder), len(MIGRATIONS)
        if version < newest:
            told = f"the workspace has schema version {version}; the next command upgrades it to {newest}"
            return [Finding(told, "note", "Run: rereader documents, then rereader doctor again.")]
        depth = Depth(scope.measure, scope.listen)
        with Library(folder, scope.config.kv_bytes) as library:
            checks = [*library_checks(library), *content_checks(library, depth)]
            found = found_by(library, [*checks, partial(checkpoints_open, library, depth)])
        return [after_repair(one) for one in found] if scope.repaired else found
    except StoreError as error:
        return [Finding(error.message, "problem", error.hint)]


def mend_workspace(scope: Scope) -> list[Finding]:
    """Mend what can be mended in the store, and say each thing; examine it afterwards.

    Raises:
        AtWork: If another process takes care of the workspace now.
        StoreError: If it cannot be opened at all.
    """
    folder = scope.config.workspace
    if not (folder / "library.db").is_file():
        return []
    version, depth = stored_version(folder), Depth(scope.measure, scope.listen)
    with Library(folder, scope.config.kv_bytes) as library, caring(folder):
        found = repair(library, depth, (*MENDS, drop_broken))
    if version < len(MIGRATIONS):
        found.insert(0, Finding(f"the schema was upgraded from version {version} to {len(MIGRATIONS)}", "mended"))
    return found
