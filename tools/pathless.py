"""Messages without the paths of this machine, for readers who are elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PART = r"[^\s/\\:'\"<>|]+"
_PATH = re.compile(rf"(?<![\w.:/~-])(?:~/(?:{_PART}/)*|/(?:{_PART}/)+|[A-Za-z]:\\(?:{_PART}\\)*)({_PART})")
"""An absolute path of two names at least. An address is none: a colon or a slash stands before its slashes."""


def pathless(text: str, folders: Sequence[Path] = ()) -> str:
    """A text of our own with the name alone in place of every absolute path.

    Args:
        text: The text; one of a document should stay as it is.
        folders: Folders whose names may hold spaces, such as the workspace; one that is not absolute or has no name
            (``.`` and ``/`` stand in any text) is passed over.
    """
    known = [folder for folder in folders if folder.is_absolute() and folder.name]
    for folder in sorted(known, key=lambda folder: -len(str(folder))):
        text = re.sub(rf"{re.escape(str(folder))}(?![\w-])", folder.name, text)
    return _PATH.sub(r"\1", text)


def pathless_values(value: Any, folders: Sequence[Path] = ()) -> Any:
    """JSON-plain values with :func:`pathless` texts in them."""
    if isinstance(value, str):
        return pathless(value, folders)
    if isinstance(value, dict):
        return {name: pathless_values(one, folders) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [pathless_values(one, folders) for one in value]
    return value
