"""What a run's rounds of attention looked at, on the terminal."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from rereader.cli.console import output
from rereader.memory.heat import Heat, Hot
from rereader.memory.library import Library
from rereader.schema import InputError

_SHOWN = 12
_WIDTH = 20
_SHADES = ("", "white on #5a3a1a", "white on #8a4b10", "white on #b85c06", "black on #f28c1e")
"""Colours of a token by its share of the sentence's hottest one; readable on light and dark terminals."""


def heats_of(library: Library, run_id: str) -> list[Heat]:
    """A run's rounds of attention.

    Raises:
        InputError: If it had none.
    """
    found = library.heats(run_id)
    if not found:
        hint = "Ask with --graph evidence-replay."
        raise InputError(f"Run {run_id} keeps no attention scores.", hint)
    return found


def show_heats(library: Library, found: list[Heat], best: int = _SHOWN) -> None:
    """Print the sentences of each round that got most attention, with bars; evidence is marked."""
    for heat in found:
        windows = "" if heat.windows == 1 else f", {heat.windows} windows"
        shown = heat.sentences[:best]
        output().print(Text(f"round {heat.round}{windows}: {len(shown)} of {len(heat.sentences)} sentences", "bold"))
        top = max([1e-12, *(hot.score for hot in shown)])
        for hot in shown:
            output().print(_line(library, hot, max(0.0, hot.score) / top), soft_wrap=True)


def heat_fields(library: Library, heat: Heat) -> dict[str, Any]:
    """A round as JSON, with the sentences' texts."""
    sentences = [
        {
            **hot.span.model_dump(),
            "text": library.documents.text_of(hot.span),
            "score": hot.score,
            "taken": hot.taken,
            "tokens": hot.tokens,
        }
        for hot in heat.sentences
    ]
    return {"round": heat.round, "windows": heat.windows, "sentences": sentences}


def _line(library: Library, hot: Hot, share: float) -> Text:
    bar = "\u2588" * max(1, round(share * _WIDTH)) if share else ""
    line = library.documents.lines_of(hot.span.document_id, [hot.span.start])[hot.span.start]
    mark = "\u25cf" if hot.taken else " "
    return Text.assemble(f"{bar:<{_WIDTH}} {hot.score:.5f} {mark} line {line}: ", _warm(library, hot))


def _warm(library: Library, hot: Hot) -> Text:
    """The sentence with its tokens coloured."""
    source = library.documents.text_of(hot.span)
    text = Text(source.replace("\n", " ").rstrip())
    top = max([1e-12, *(score for _, _, score in hot.tokens)])
    for start, end, score in hot.tokens:
        shade = _SHADES[min(len(_SHADES) - 1, int(max(0.0, score) / top * len(_SHADES)))]
        if shade:
            text.stylize(shade, start, end)
    return text
