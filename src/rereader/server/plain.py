"""Values as JSON that any browser reads: pure ASCII, so that every text travels unharmed, lone surrogates too."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """A value made of what JSON knows. Numbers that JSON lacks become ``None``; tuples become lists.

    Raises:
        TypeError: If the value, or one in it, has no such form.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(held) for held in value]
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, Enum):
        return value.value
    return {name: plain(getattr(value, name)) for name in _names(value)}


def dumped(value: Any) -> str:
    """A value as JSON on one line, in ASCII."""
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False)


def _names(value: Any) -> Iterable[str]:
    """Names of the fields of a model or a dataclass."""
    if isinstance(value, BaseModel):
        return type(value).model_fields
    if is_dataclass(value):
        return value.__dataclass_fields__
    raise TypeError(f"{type(value).__name__} has no form in JSON")
