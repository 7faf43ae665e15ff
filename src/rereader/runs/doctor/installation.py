"""Python and the packages: versions against the ranges that the distribution declares."""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from rereader.runs.doctor.scope import Scope
from rereader.schema.findings import Finding

_PACKAGE = "rereader"
_FOR_DEVELOPERS = "dev"
_WITHOUT_OWN_PACKAGES = {"all", _FOR_DEVELOPERS}


def python_version(scope: Scope) -> list[Finding]:
    """Python is one that the package was made for."""
    wanted = metadata.metadata(_PACKAGE)["Requires-Python"] or ""
    version = platform.python_version()
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return [Finding(f"Python {version}")]
    return [Finding(f"Python {version} is not {wanted}", "problem", f"Install Rereader under Python {wanted}.")]


def required_packages(scope: Scope) -> list[Finding]:
    """Every package that is always needed is there, in a version of its range."""
    wanted = [one for one in _requirements() if one.marker is None or one.marker.evaluate({"extra": ""})]
    return _judge(wanted, f"{len(wanted)} required packages are in their ranges", _PACKAGE)


def optional_packages(scope: Scope) -> list[Finding]:
    """Which extras are installed."""
    found = []
    for extra in sorted(metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []):
        if extra in _WITHOUT_OWN_PACKAGES:
            continue
        wanted = [one for one in _requirements() if one.marker and _only_in(one, extra) and one.name != _PACKAGE]
        missing = [one.name for one in wanted if _version(one.name) is None]
        mend = f"If you need it: pip install '{_PACKAGE}[{extra}]'"
        if missing:
            found.append(Finding(f"extra {extra!r} is not complete: {', '.join(missing)}", "note", mend))
        elif wanted:
            found += _judge(wanted, f"extra {extra!r} is installed", f"{_PACKAGE}[{extra}]")
    return found


def _judge(wanted: list[Requirement], good: str, install: str) -> list[Finding]:
    mend = f"Run: pip install --upgrade '{install}'"
    missing = [one.name for one in wanted if _version(one.name) is None]
    outside = [f"{one.name} {_version(one.name)} (not {one.specifier})" for one in wanted if _is_outside(one)]
    found = [Finding(f"packages are missing: {', '.join(missing)}", "problem", mend)] if missing else []
    if outside:
        found.append(Finding(f"packages outside of their ranges: {', '.join(outside)}", "warning", mend))
    return found or [Finding(good)]


def _requirements() -> list[Requirement]:
    return [Requirement(line) for line in metadata.requires(_PACKAGE) or []]


def _only_in(one: Requirement, extra: str) -> bool:
    assert one.marker is not None
    return one.marker.evaluate({"extra": extra}) and not one.marker.evaluate({"extra": ""})


def _is_outside(one: Requirement) -> bool:
    version = _version(one.name)
    return version is not None and not one.specifier.contains(version, prereleases=True)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
