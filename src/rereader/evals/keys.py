"""Keys of texts that are made when they are asked for: a split and what else decides the text, between slashes."""

from __future__ import annotations

import re
from typing import cast

from rereader.evals.items import SPLITS, Split
from rereader.schema.errors import InputError

_NAME = re.compile(r"<(\w+)>")
_NUMBERS = frozenset({"seed", "number", "documents", "tokens"})


def parse_key(key: str, form: str) -> tuple[Split, dict[str, str]]:
    """The split of a key, and its other parts by name.

    Args:
        key: The key.
        form: What it must look like, such as ``<split>/<seed>/<number>``; seeds and numbers are decimal.

    Raises:
        InputError: If it looks otherwise.
    """
    names, values = _NAME.findall(form), key.split("/")
    named = dict(zip(names, values, strict=False))
    numbers = [value for name, value in named.items() if name in _NUMBERS]
    if len(names) != len(values) or named["split"] not in SPLITS or not all(map(str.isdecimal, numbers)):
        raise no_text(key, form)
    return cast("Split", named["split"]), named


def no_text(key: str, form: str) -> InputError:
    """The error of a key that names no text."""
    return InputError(f"There is no text {key!r}.", f"A text is named {form}.")
