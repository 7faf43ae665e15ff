"""JSON Lines: every object becomes a paragraph, ``key: value; key: value``, cited by the number of its line."""

from __future__ import annotations

import json
from typing import Any

from rereader.tools.decoding import decode
from rereader.tools.formats.base import Options, Parsed, TextBuilder, without_text


def load(data: bytes, name: str, options: Options) -> Parsed:
    """One paragraph per value; nested keys are joined by dots, empty values left out; what is no JSON stays."""
    decoded = decode(data, name, options.encoding)
    out = TextBuilder(name, options.max_bytes)
    wrong: list[int] = []
    for number, line in enumerate(decoded.text.split("\n"), 1):
        try:
            said = readable(json.loads(line)) if line.strip() else ""
        except (ValueError, RecursionError):
            wrong.append(number)
            said = line.strip()
        if said:
            out.mark("row", str(number))
            out.add(f"{said}\n\n")
    if not out.length:
        raise without_text(name)
    return out.build((*decoded.warnings, *_warnings(wrong)), decoded.encoding)


def readable(value: Any) -> str:
    """A JSON value as one line."""
    if not isinstance(value, dict):
        return _scalar(value)
    return "; ".join(f"{key}: {said}" for key, said in _pairs(value, ""))


def _pairs(value: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, part in value.items():
        if isinstance(part, dict):
            found += _pairs(part, f"{prefix}{key}.")
        elif said := _scalar(part):
            found.append((f"{prefix}{key}", said))
    return found


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(said for said in map(readable, value) if said)
    if value is None:
        return ""
    said = value if isinstance(value, str) else json.dumps(value)
    return " ".join(said.split())


def _warnings(wrong: list[int]) -> tuple[str, ...]:
    if not wrong:
        return ()
    lines = f"{len(wrong):,} lines are" if len(wrong) > 1 else "1 line is"
    return (f"{lines} no JSON and stay as they are; the first is line {wrong[0]:,}",)
