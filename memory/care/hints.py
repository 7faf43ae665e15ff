"""What mends what was found, before a repair was tried and after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rereader.schema.findings import Finding

REPAIR = "Run: rereader doctor --repair"
RESTORE = "Bring a backup back with 'rereader restore FILE --replace', or start a new folder with --workspace."
READD = "Remove the document with 'rereader remove ID', then add it again with 'rereader add FILE'."
REPAIR_OR_RESTORE = f"{REPAIR}. If that is not enough: {RESTORE}"
REPAIR_OR_READD = f"{REPAIR}. If that is not enough: {READD}"
_NEXT = {REPAIR: RESTORE, REPAIR_OR_RESTORE: RESTORE, REPAIR_OR_READD: READD}


def was_made(mended: Iterable[Finding]) -> bool:
    """Whether a repair did all that it can, so that another one would do no more.

    It did not where something was left alone, since a process is at work on it, or could not be mended, on a full disk
    say: what would mend that destroys nothing yet.
    """
    return all(one.state == "mended" or one.mend == RESTORE for one in mended)


def after_repair(finding: Finding) -> Finding:
    """The same finding, without the advice to do what was just done."""
    return replace(finding, mend=_NEXT.get(finding.mend, finding.mend))
