"""All checks in order; add one by writing a function and naming it here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.runs.doctor import installation, machine, servers, shelf, speeds, workspace
from rereader.runs.doctor.scope import Check, Scope
from rereader.schema import RereaderError
from rereader.schema.findings import Finding

CHECKS: tuple[tuple[str, Check], ...] = (
    ("installation", installation.python_version),
    ("installation", installation.required_packages),
    ("installation", installation.optional_packages),
    ("machine", machine.torch_build),
    ("machine", machine.processor),
    ("machine", machine.memory),
    ("machine", machine.disk),
    ("models", shelf.roles),
    ("models", shelf.model_files),
    ("models", shelf.leftovers),
    ("models", shelf.reader_fits),
    ("speed", speeds.speeds),
    ("workspace", workspace.workspace),
    ("endpoints", servers.endpoints),
)
"""Topic and check."""


@dataclass(frozen=True)
class Examined:
    """A finding under its topic."""

    topic: str
    finding: Finding


def examine(scope: Scope, checks: Sequence[tuple[str, Check]] = CHECKS) -> list[Examined]:
    """Run every check; one that fails is itself a finding."""
    return [Examined(topic, finding) for topic, check in checks for finding in _run(check, scope)]


def _run(check: Check, scope: Scope) -> list[Finding]:
    try:
        return check(scope)
    except RereaderError as error:
        return [Finding(error.message, "problem", error.hint)]
    except OSError as error:
        return [Finding(f"{error.strerror or error}: {error.filename or ''}", "problem", "Check the path.")]
    except Exception as error:  # one that fails must not hide what the others find
        told = f"the check {check.__name__!r} failed: {type(error).__name__}: {error}"
        return [Finding(told, "problem", "That is a mistake in Rereader; please report it.")]


def is_well(found: Sequence[Examined]) -> bool:
    """Whether nothing that was found stops something from working."""
    return all(one.finding.state != "problem" for one in found)
