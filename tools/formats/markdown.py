"""Markdown stays the text it is; its headings become sections."""

from __future__ import annotations

import re

from rereader.tools.decoding import decode
from rereader.tools.formats.base import HeadingPath, Options, Parsed, TextBuilder

_LONGEST_HEADING = 1000
_TEXT = "    "
"""Stands for a line that is too long to be a heading, or anything else that has a meaning here."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(r"\s*$| {4}|\t| {0,3}(?:[-*+>|#]|\d+[.)])")
_MARKS = re.compile(r"[*_`]+|\[([^\]]*)\]\([^)]*\)|\s*\{#[^}]*\}\s*$")


def load(data: bytes, name: str, options: Options) -> Parsed:
    """The text as it stands, with sections at its headings (``# ATX`` and underlined ones, outside code)."""
    decoded = decode(data, name, options.encoding)
    out = TextBuilder(name, limit=max(options.max_bytes, len(decoded.text)))
    path = HeadingPath()
    for start, level, title in headings(decoded.text):
        out.mark("section", path.enter(level, title), start)
    return Parsed(decoded.text, tuple(out.places), decoded.warnings, decoded.encoding)


def headings(text: str) -> list[tuple[int, int, str]]:
    """``(offset, level, title)`` of every heading, in order."""
    found: list[tuple[int, int, str]] = []
    fence, before, before_at, at = "", "", 0, 0
    matter = text.startswith("---\n")  # front matter, up to the next such line
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n") if len(line) <= _LONGEST_HEADING else _TEXT
        if matter:
            matter = at == 0 or bare not in ("---", "...")
            bare = ""
        elif fence or _FENCE.match(bare):
            fence = _fence_after(fence, bare)
            bare = ""
        elif (atx := _ATX.match(bare)) and atx[2]:
            found.append((at, len(atx[1]), _plain(atx[2])))
        elif (under := _UNDERLINE.match(bare)) and before and not _NO_PARAGRAPH.match(before):
            found.append((before_at, 1 if under[1][0] == "=" else 2, _plain(before)))
            bare = ""
        before, before_at = bare, at
        at += len(line)
    return found


def _fence_after(fence: str, line: str) -> str:
    """The fence that is open after a line; empty outside code."""
    match = _FENCE.match(line)
    if not fence:
        return match[1] if match else ""
    closes = match and match[1][0] == fence[0] and len(match[1]) >= len(fence) and not match[2].strip()
    return "" if closes else fence


def _plain(title: str) -> str:
    return _MARKS.sub(lambda found: found[1] or "", title).strip()
