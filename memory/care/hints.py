"""What mends what was found, before a repair was tried and after it."""

from __future__ import annotations

from dataclasses import replace

from rereader.schema.findings import Finding

REPAIR = "Run: rereader doctor --repair"
RESTORE = "Bring a backup back with 'rereader restore FILE --replace', or start a new folder with --workspace."
READD = "Remove the document with 'rereader remove ID', then add it again with 'rereader add FILE'."
REPAIR_OR_RESTORE = f"{REPAIR}. If that is not enough: {RESTORE}"
REPAIR_OR_READD = f"{REPAIR}. If that is not enough: {READD}"
_NEXT = {REPAIR: RESTORE, REPAIR_OR_RESTORE: RESTORE, REPAIR_OR_READD: READD}


def after_repair(finding: Finding) -> Finding:
    """The same finding, without the advice to do what was just done."""
    return replace(finding, mend=_NEXT.get(finding.mend, finding.mend))
