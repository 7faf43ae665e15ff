"""Horizontal bars as inline SVG: a picture in a page that needs no other file, and no drawing library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = 10
"""Parts that have a colour of their own; the classes ``part-0`` to ``part-9`` give it."""
REST = "rest"


@dataclass(frozen=True)
class Bar:
    """A line of a chart: its name, its parts by name (in the chart's unit), and the figure written beside it."""

    name: str
    parts: Mapping[str, float]
    figure: str

    @property
    def length(self) -> float:
        """Sum of the parts."""
        return sum(self.parts.values())


def chart(title: str, bars: Sequence[Bar], note: str = "") -> str:
    """Bars under one another on one scale, with a legend if they have several kinds of parts."""
    bars = _coloured(bars)
    longest = max((bar.length for bar in bars), default=0.0) or 1.0
    kinds = list(dict.fromkeys(name for bar in bars for name in bar.parts))
    lines = "".join(_line(bar, kinds, longest) for bar in bars)
    about = f'<p class="small">{escape(note)}</p>' if note else ""
    return (
        f'<figure><figcaption>{escape(title)}</figcaption>{about}{_legend(kinds)}<div class="chart">{lines}</div>'
        "</figure>\n"
    )


def _coloured(bars: Sequence[Bar]) -> list[Bar]:
    """The bars with parts joined that would have no colour left: the shortest of all bars together."""
    sums: dict[str, float] = {}
    for bar in bars:
        for name, value in bar.parts.items():
            sums[name] = sums.get(name, 0.0) + value
    if len(sums) <= COLOURS:
        return list(bars)
    kept = set(sorted(sums, key=lambda name: -sums[name])[: COLOURS - 1])
    return [Bar(bar.name, _joined(bar.parts, kept), bar.figure) for bar in bars]


def _joined(parts: Mapping[str, float], kept: set[str]) -> dict[str, float]:
    found = {name: value for name, value in parts.items() if name in kept}
    rest = sum(value for name, value in parts.items() if name not in kept)
    return {**found, REST: rest} if rest else found


def _legend(kinds: Sequence[str]) -> str:
    if len(kinds) < 2:
        return ""
    marks = "".join(
        '<span><svg class="mark" viewBox="0 0 1 1" aria-hidden="true">'
        f'<rect class="part-{place}" width="1" height="1"/></svg> {escape(kind)}</span>'
        for place, kind in enumerate(kinds)
    )
    return f'<p class="legend">{marks}</p>'


def _line(bar: Bar, kinds: Sequence[str], longest: float) -> str:
    shapes, start = [], 0.0
    for name, value in bar.parts.items():
        width = 100 * value / longest
        told = f"{escape(name)} {value:,.4g}"
        shapes.append(
            f'<rect class="part-{kinds.index(name)}" x="{start:.3f}" width="{width:.3f}" height="1">'
            f"<title>{told}</title></rect>"
        )
        start += width
    return (
        f'<div class="name">{escape(bar.name)}</div>'
        f'<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(bar.name)}: {escape(bar.figure)}">{"".join(shapes)}</svg>'
        f'<div class="figure">{escape(bar.figure)}</div>\n'
    )
