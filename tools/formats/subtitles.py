"""Subtitles (SRT, WebVTT, ASS, SSA): one line per subtitle, each with the time at which it appears."""

from __future__ import annotations

import html
from pathlib import PurePath

from rereader.tools.decoding import decode
from rereader.tools.formats.base import Options, Parsed, TextBuilder, damaged, needs, without_text

_FORMATS = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ssa"}
_STARTS = {"WEBVTT": "vtt", "[Script Info]": "ass"}
_KIND = "subtitle file"


def load(data: bytes, name: str, options: Options) -> Parsed:
    """The subtitles in the order in which they appear; comments and drawings are left out."""
    with needs("Reading subtitles"):
        import pysubs2

    decoded = decode(data, name, options.encoding)
    begins = next((kind for start, kind in _STARTS.items() if decoded.text.lstrip().startswith(start)), "srt")
    kind = _FORMATS.get(PurePath(name).suffix.lower(), begins)
    try:
        subtitles = pysubs2.SSAFile.from_string(decoded.text, format_=kind)
    except (pysubs2.exceptions.Pysubs2Error, ValueError, LookupError) as error:
        raise damaged(name, _KIND) from error
    out = TextBuilder(name, options.max_bytes)
    for event in sorted(subtitles, key=lambda event: event.start):
        said = "" if event.is_comment or event.is_drawing else " ".join(html.unescape(event.plaintext).split())
        if said:
            out.mark("time", clock(event.start))
            out.add(f"{said}\n")
    if not out.length:
        raise damaged(name, _KIND, "no subtitle was found in it") if decoded.text.strip() else without_text(name)
    return out.build(decoded.warnings, decoded.encoding)


def clock(milliseconds: int) -> str:
    """Hours, minutes and seconds: ``00:12:05``."""
    seconds = max(0, milliseconds) // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
